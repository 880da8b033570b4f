"""Keras tells of its training: with the real library, on jax."""

from __future__ import annotations

import json

from conftest import Job

SCRIPT = """
import json, os
os.environ["KERAS_BACKEND"] = "jax"
import keras, numpy
import foundations
from foundations.integrations.keras import FoundationsCallback

assert foundations.integrations.keras.FoundationsCallback is FoundationsCallback
keras.utils.set_random_seed(1)
model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1)])
schedule = keras.optimizers.schedules.ExponentialDecay(0.01, 10, 0.9)
model.compile(optimizer=keras.optimizers.SGD(schedule, momentum=0.9), loss="mse", metrics=["mae"])
x, y = numpy.ones((32, 4)), numpy.ones((32, 1))
told = FoundationsCallback(every_n_batches=3)
fit = model.fit(x, y, validation_data=(x, y), epochs=3, batch_size=8, verbose=0, callbacks=[told])
test = model.evaluate(x, y, verbose=0, return_dict=True, callbacks=[told])
print(json.dumps({"history": fit.history, "test": test}))
"""


def test_every_epoch_is_logged_as_keras_has_it_and_what_it_was_set_to(job: Job) -> None:
    said = json.loads(job.script(SCRIPT).stdout)
    points = [(it["key"], it["step"], it["value"]) for it in job.events("metric") if "step" in it]
    epochs = [(key, step, value) for key, values in said["history"].items() for step, value in enumerate(values)]
    assert sorted(it for it in points if not it[0].startswith("batch_")) == sorted(epochs)
    assert {it[0] for it in epochs} == {"loss", "mae", "val_loss", "val_mae"}
    assert [it[1] for it in points if it[0] == "batch_loss"] == [0, 3, 6, 9], "of 12 batches every third"
    evaluated = {it["key"]: it["value"] for it in job.events("metric") if "step" not in it}
    assert evaluated == {"test_" + key: value for key, value in said["test"].items()}

    params = {it["key"]: it["value"] for it in job.events("param")}
    assert (params["epochs"], params["steps_per_epoch"], params["model_parameters"]) == (3, 4, 5)
    assert (params["optimizer"], params["optimizer_momentum"], params["loss_function"]) == ("SGD", 0.9, "mse")
    assert params["optimizer_learning_rate_config_initial_learning_rate"] == 0.01
    assert job.events("dropped") == []


def test_of_several_ranks_the_first_tells(job: Job) -> None:
    job.script(SCRIPT, RANK="1")
    assert job.events() == []
