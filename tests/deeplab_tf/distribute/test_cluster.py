import json

import pytest

from deeplab_tf.distribute.cluster import Cluster, read_cluster
from deeplab_tf.errors import InputError

PAIR = ["10.0.0.1:2222", "10.0.0.2:2222"]


def config(cluster, job="worker", index=0):
    return json.dumps({"cluster": cluster, "task": {"type": job, "index": index}})


@pytest.mark.parametrize(
    "text, workers, index",
    [
        (config({"worker": PAIR}), PAIR, 0),
        (config({"worker": PAIR}, index="1"), PAIR, 1),
        (config({"worker": PAIR[1:], "chief": PAIR[:1]}), PAIR, 1),
        (config({"worker": PAIR[1:], "chief": PAIR[:1]}, "chief"), PAIR, 0),
        (config({"worker": ["[::1]:1", "a.b:65535"]}), ["[::1]:1", "a.b:65535"], 0),
    ],
)
def test_workers_are_those_of_tf_config_the_chief_first(monkeypatch, text, workers, index):
    monkeypatch.setenv("TF_CONFIG", text)
    assert read_cluster() == Cluster(tuple(workers), index)


@pytest.mark.parametrize(
    "text, message",
    [
        (None, "TF_CONFIG is not set"),
        ("", "TF_CONFIG is not set"),
        ("{", "TF_CONFIG is not JSON"),
        ("[]", 'no "cluster"'),
        ("{}", 'no "cluster"'),
        ('{"cluster": {}}', 'no "cluster"'),
        ('{"cluster": {"worker": ["a:1"]}}', 'no "task"'),
        (config({"worker": []}), '"worker" of the cluster is not a list of addresses'),
        (config({"worker": "a:1"}), '"worker" of the cluster is not a list of addresses'),
        (config({"worker": ["a:1"], "ps": ["b:1"]}), 'job "ps"'),
        (config({"chief": ["a:1", "b:1"]}, "chief"), "more than one chief"),
        (config({"worker": ["a:1", "a:1"]}), "a:1 is listed twice"),
        (config({"worker": ["a"]}), 'address "a" is not host:port'),
        (config({"worker": ["a:0"]}), 'address "a:0" is not host:port'),
        (config({"worker": ["a:99999"]}), 'address "a:99999" is not host:port'),
        (config({"worker": [7]}), 'address "7" is not host:port'),
        (config({"worker": PAIR}, "chief"), 'task type "chief" is not in the cluster'),
        (config({"worker": PAIR}, ["worker"]), "is not in the cluster"),
        (config({"worker": PAIR}, index=2), 'no task 2 of "worker"; use an index from 0 to 1'),
        (config({"worker": PAIR}, index=-1), 'no task -1 of "worker"'),
        (config({"worker": PAIR}, index=None), 'no task None of "worker"'),
    ],
)
def test_a_wrong_tf_config_is_one_line(monkeypatch, text, message):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(InputError) as error:
        read_cluster()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
