"""Two processes on this machine, as `tf.distribute.MultiWorkerMirroredStrategy` runs them."""

import json
import os
import socket
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_gen.models import VAE
from keras_gen.runs import loading, strategy, training

OPTIONS = ("--epochs", "2", "--batch-size", "64", "--latent-dim", "3", "--widths", "[4]")
OPTIONS += ("--hidden-units", "8", "--strategy", "multi_worker", "--seed", "1")

# The sampling layer is switched off, so that one process must come to the same weights; up to float
# rounding, which Adam, unlike plain gradient descent, would amplify where gradients are near 0.
SILENT = """
import sys
from keras_gen.runs import checkpoints
from keras_gen.commands import main
import keras
from keras_gen.layers import Sampling
from keras_gen.models import VAE

VAE.default_optimizer = lambda self, rate: keras.optimizers.SGD(1e-4)
Sampling.call = lambda self, z_mean, z_log_var, noise=None: z_mean + 0.0 * z_log_var
checkpoints.STEPS_BETWEEN_VOTES = 1
sys.exit(main.main(sys.argv[1:]))
"""


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def run_workers(arguments: list[str]) -> list[str]:
    """Runs `keras-gen` in two processes; gives what each printed."""
    workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = []
    for index in range(2):
        cluster = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(cluster)}
        command = [sys.executable, "-c", SILENT, *arguments]
        processes.append(
            subprocess.Popen(
                command,
                env=environment,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        )
    try:
        printed = [process.communicate(timeout=200)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, text in zip(processes, printed, strict=True):
        assert process.returncode == 0, text
    return printed


@pytest.mark.slow
def test_two_workers_come_to_the_weights_of_one_process(tmp_path, garments, monkeypatch):
    data = tmp_path / "small.npz"
    np.savez(data, x_train=garments[0][:256], x_test=garments[0][256:320])
    out = tmp_path / "two"
    # In two parts, so that resuming with two workers is covered, in the middle of an epoch.
    arguments = ["train", "vae", "--data", str(data), "--out", str(out), *OPTIONS]
    run_workers([*arguments, "--max-minutes", "0.0001"])
    assert not (out / "model.keras").exists()
    assert [path.stem for path in (out / "checkpoints").iterdir()] == ["epoch-00000-step-0000001"]
    printed = run_workers(["resume", str(out)])
    assert "2 workers, 2 replicas, 32 images each in a step" in printed[0]
    assert "epoch 2/2" in printed[0] and "epoch 2/2" not in printed[1]  # one of them speaks

    monkeypatch.setattr(
        "keras_gen.layers.Sampling.call",
        lambda self, mean, log_var, noise=None: mean + 0.0 * log_var,
    )
    monkeypatch.setattr(VAE, "default_optimizer", lambda self, rate: keras.optimizers.SGD(1e-4))
    one = training.train(
        "vae",
        data=str(data),
        epochs=2,
        batch_size=64,
        seed=1,
        out=str(tmp_path / "one"),
        hyperparameters={"latent_dim": 3, "widths": [4], "hidden_units": 8},
    )
    first, second = (loading.load_model(run).get_weights() for run in (one, out))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)
    rows = [(run / "metrics.csv").read_text().splitlines() for run in (one, out)]
    assert rows[0][0] == rows[1][0] and len(rows[0]) == len(rows[1]) == 3
    for a, b in zip(rows[0][2].split(","), rows[1][2].split(","), strict=True):
        assert float(a) == pytest.approx(float(b), rel=1e-4)


def test_replicas_draw_different_noise(two_replicas):
    """Two replicas that get the same images still draw different z."""
    with two_replicas.scope():
        model = VAE(latent_dim=3, widths=(4,), hidden_units=8, seed=0)
    zeros = tf.zeros((5, 3))
    z = two_replicas.run(tf.function(lambda: model.sampling(zeros, zeros)))
    one, other = two_replicas.experimental_local_results(z)
    assert np.abs(one.numpy() - other.numpy()).min() > 1e-4


# === Who is who, without other processes ===


def config(index: int = 0, kind: str = "worker", **cluster) -> str:
    return json.dumps({"cluster": cluster or {"worker": ["a:1"]}, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("text", "message"),
    (
        ("", "TF_CONFIG: expected JSON. Received: EOF .* It must be like"),
        ("[]", r"TF_CONFIG: the content must be an object. Received: \[\]. It must be like"),
        ("[" * 100_000, "TF_CONFIG: expected JSON. Received: recursion limit exceeded"),
        ('{"cluster": {"worker": ["a:1"]}}', "TF_CONFIG: task is missing. It must be like"),
        (config(True), "TF_CONFIG: task.index must be a valid integer. Received: True"),
        (config(-1), "TF_CONFIG: task.index must be greater than or equal to 0. Received: -1"),
        (config(worker="a:1"), "TF_CONFIG: cluster.worker must be a valid array. Received: 'a:1'"),
        (config(worker=["a"]), "TF_CONFIG: cluster.worker.0 must match pattern .* Received: 'a'"),
        (config(worker=["a:1", "a:1"]), "each task must have an address of its own. Received: a:1 2 times"),
        (config(2), "task worker 2 is not in the cluster. Received: 1"),
        (config(kind="evaluator"), "task.type must be 'chief' or 'worker'. Received: 'evaluator'"),
        (config(worker=["a:1"], ps=["b:1"]), "name in cluster must be 'chief' or 'worker'. Received: 'ps'"),
    ),
)
def test_a_bad_tf_config_is_one_line(monkeypatch, text, message):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=message) as caught:
        strategy.make_strategy("multi_worker")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cluster", "chief"),
    (
        ({"worker": ["a:1", "b:1"]}, ("worker", 0)),
        ({"chief": ["a:1"], "worker": ["b:1", "c:1"]}, ("chief", 0)),
    ),
)
def test_one_process_of_a_cluster_is_its_chief(cluster, chief):
    chiefs = []
    for kind, addresses in cluster.items():
        for index in range(len(addresses)):
            resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
                tf.train.ClusterSpec(cluster), task_type=kind, task_id=index
            )
            if strategy.is_chief(types.SimpleNamespace(cluster_resolver=resolver)):
                chiefs.append((kind, index))
    assert chiefs == [chief]


def test_workers_of_a_slurm_step_on_nodes_without_gpus(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    for name, value in {
        "SLURM_JOB_ID": "1030",
        "SLURM_PROCID": "3",
        "SLURM_STEP_NODELIST": "gpu[09-10],login",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    }.items():
        monkeypatch.setenv(name, value)
    workers = ["gpu09:16480", "gpu09:16481", "gpu10:16480", "gpu10:16481", "login:16480"]
    assert strategy.slurm_workers() == (workers, 3)
    monkeypatch.setenv("SLURM_PROCID", "5")
    with pytest.raises(ValueError, match="cannot read the workers.*SLURM_PROCID is 5, of 5 tasks"):
        strategy.make_strategy("multi_worker")
    monkeypatch.delenv("SLURM_STEP_NODELIST")
    with pytest.raises(ValueError, match="cannot read the workers.*SLURM_STEP_NODELIST.*srun"):
        strategy.make_strategy("multi_worker")


def test_tasks_of_a_slurm_node_share_its_gpus_but_not_those_that_slurm_gave_them(monkeypatch):
    workers = ["a:1", "a:2", "b:1"]
    for name in ("SLURM_GPUS_PER_TASK", "SLURM_TRES_PER_TASK"):
        monkeypatch.delenv(name, raising=False)
    assert [strategy.slurm_gpus([0, 1, 2, 3], workers, k) for k in range(3)] == [
        [0, 1],
        [2, 3],
        [0, 1, 2, 3],
    ]
    assert strategy.slurm_gpus([0], workers, 1) == [0]  # bound by cgroups
    monkeypatch.setenv("SLURM_GPUS_PER_TASK", "2")
    assert strategy.slurm_gpus([0, 1], workers, 0) == [0, 1]


def test_a_batch_that_replicas_cannot_share_is_refused(two_replicas):
    strategy.check_batch_size(two_replicas, 64)
    with pytest.raises(ValueError, match="multiple of the 2 replicas.*Received: 33"):
        strategy.check_batch_size(two_replicas, 33)


def test_a_lost_worker_is_named_with_the_remedy():
    message = "{{function_node f}} Collective ops is aborted by: /job:worker/replica:0/task:1 is gone"
    with (
        pytest.raises(ConnectionError, match="worker 1 does not answer.*keras-gen resume runs/a"),
        strategy.explain_lost_workers("runs/a"),
    ):
        raise tf.errors.UnavailableError(None, None, message)
