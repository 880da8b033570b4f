"""Transformers tell of their training: the real trainer with a model that fits on a page."""

from __future__ import annotations

import json

from conftest import Job

SCRIPT = """
import json
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
from foundations.integrations.transformers import FoundationsCallback

sizes = dict(vocab_size=16, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8)
model = BertForSequenceClassification(BertConfig(**sizes))
data = [{"input_ids": [1, 2, 3, at], "labels": at % 2} for at in range(8)]
arguments = TrainingArguments(
    "out", max_steps=4, per_device_train_batch_size=4, logging_steps=2, eval_strategy="steps", eval_steps=4,
    use_cpu=True, report_to=[], disable_tqdm=True, hub_token="hf_secret",
)
trainer = Trainer(model, arguments, train_dataset=data, eval_dataset=data, callbacks=[FoundationsCallback()])
trainer.train()
print("\\n" + json.dumps(trainer.state.log_history))
"""


def test_what_the_trainer_reports_is_logged_with_its_step(job: Job) -> None:
    history = json.loads(job.script(SCRIPT, HF_HUB_OFFLINE="1").stdout.splitlines()[-1])
    wanted = [(key, it["step"], value) for it in history for key, value in it.items() if key != "step"]
    points = [(it["key"], it["step"], it["value"]) for it in job.events("metric")]
    assert sorted(points) == sorted(wanted)
    assert {"loss", "learning_rate", "eval_loss", "train_runtime"} <= {it[0] for it in points}
    params = {it["key"]: it["value"] for it in job.events("param")}
    assert (params["max_steps"], params["model_type"], params["per_device_train_batch_size"]) == (4, "bert", 4)
    assert params["model_parameters"] > 100
    assert "hf_secret" not in job.spool.read_text()


def test_of_several_ranks_the_first_tells(job: Job) -> None:
    """Which one it is the trainer knows: here a callback before ours says that this is another."""
    other = """
from transformers import TrainerCallback


class Other(TrainerCallback):
    def on_init_end(self, args, state, control, **others):
        state.is_world_process_zero = False

    on_log = on_train_begin = on_init_end
"""
    job.script(
        SCRIPT.replace("\nsizes", other + "\nsizes").replace("callbacks=[", "callbacks=[Other, "), HF_HUB_OFFLINE="1"
    )
    assert job.events() == []
