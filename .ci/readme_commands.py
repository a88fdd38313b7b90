"""Prints the shell commands of the README that are marked for CI: lines after the Nth <!-- ci -->."""

import re
import sys
from pathlib import Path

readme = Path(sys.argv[1]).read_text()
blocks = re.findall(r"<!-- ci -->\n```sh\n(.*?)```", readme, re.DOTALL)
if len(blocks) != 2:
    sys.exit(f"Expected two blocks marked <!-- ci --> in the README. Received: {len(blocks)}")
print(blocks[int(sys.argv[2]) - 1], end="")
