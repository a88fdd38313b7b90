"""The shim that older tools look for; everything is in setup.cfg."""

from setuptools import setup

setup()
