"""Lightning tells of its training: with the real library."""

from __future__ import annotations

import json

from conftest import Job

SCRIPT = """
import json
import torch
torch.__version__ = "1.13.1"  # Debian's calls itself 1.13.0a0, which Lightning takes for an older one
torch.distributed.is_available = lambda: False  # that of 1.13 cannot be imported by its Python 3.11
import lightning
from foundations.integrations.lightning import FoundationsLogger


class Module(lightning.LightningModule):
    def __init__(self, lr, net):
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, at):
        loss = self.layer(batch[0]).pow(2).mean()
        self.log("loss", loss, on_step=True, on_epoch=False)
        self.log("progress", float(self.global_step))
        return loss

    def validation_step(self, batch, at):
        self.log("val/loss", self.layer(batch[0]).pow(2).mean(), sync_dist=True)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), self.hparams.lr)


if __name__ == "__main__":
    torch.set_num_threads(1)
    data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.ones(16, 4)), batch_size=4)
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", devices=1, logger=FoundationsLogger(), log_every_n_steps=1,
        enable_progress_bar=False, enable_model_summary=False,
    )
    trainer.fit(Module(0.1, {"sizes": [4, 1], "activation": torch.nn.ReLU}), data, data)
    print(json.dumps({key: float(value) for key, value in trainer.logged_metrics.items()}))
"""


def test_what_a_module_logs_is_logged_with_the_trainers_step(job: Job) -> None:
    said = json.loads(job.script(SCRIPT).stdout.splitlines()[-1])
    points = [(it["key"], it["step"]) for it in job.events("metric")]
    assert [step for key, step in points if key == "loss"] == [*range(8)]
    assert [step for key, step in points if key == "val/loss"] == [3, 7]
    last = {it["key"]: it["value"] for it in job.events("metric")}
    assert {key: last[key] for key in said} == said
    params = {it["key"]: it["value"] for it in job.events("param")}
    assert params == {"lr": 0.1, "net_sizes_0": 4, "net_sizes_1": 1, "net_activation": "ReLU"}
    assert (job.folder / "foundations" / "0" / "checkpoints").is_dir()


def test_of_several_ranks_the_first_tells(job: Job) -> None:
    job.script(SCRIPT, RANK="1")
    assert job.events() == []
