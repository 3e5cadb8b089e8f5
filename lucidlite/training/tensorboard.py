"""The numbers of a run as TensorBoard reads them: a file of events in the run's folder."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from lucidlite.callsite import error
from lucidlite.training.metrics import EpochRow
from lucidlite.training.steps import Recorder, StepRow, warned

_EVENTS = "events.out.tfevents."


def can_record() -> bool:
    """Whether the package tensorboard is there."""
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        return False
    return True


class EventFile(Recorder):
    """Scalars train/loss, train/accuracy, test/loss, test/accuracy, lr and images_per_second.

    Each process of a run writes a file of its own. Where it goes on from a checkpoint its first
    event tells TensorBoard to leave out what the files before have of later steps. ``settings``
    are shown under Text. ImportError without the package tensorboard.
    """

    def __init__(
        self, folder: str | os.PathLike[str], settings: Mapping[str, Any] | None = None
    ) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError:
            raise error(
                ImportError,
                "EventFile: events for TensorBoard need its package: "
                "pip install 'lucidlite[tensorboard]'",
            ) from None
        self._event, self._summary, self._writer_of = (
            event_pb2.Event, summary_pb2.Summary, RecordWriter
        )  # fmt: skip
        self._folder, self._settings = Path(folder), dict(settings or {})
        self._file: Any = None
        self._writer: Any = None
        self._warned = False
        self._again: int | None = None  # the step at which a later process takes over

    def begin(self, step: int) -> tuple[()]:
        earlier = sorted(path.name for path in self._folder.glob(f"{_EVENTS}*"))
        # TensorBoard reads files in the order of their names, which begin with the second.
        second = int(time.time())
        if earlier:
            last = earlier[-1].removeprefix(_EVENTS).partition(".")[0]
            second = max(second, int(last) + 1 if last.isdecimal() else 0)
        name = f"{_EVENTS}{second:010d}.{socket.gethostname()}.{os.getpid()}"
        self._file = open(self._folder / name, "xb")  # noqa: SIM115
        self._writer = self._writer_of(self._file)
        self._write(file_version="brain.Event:2")
        if earlier:
            # TensorBoard drops what it has of this step and later: recall() writes this step's
            # again, of which a crash may have left the training's part without the test's.
            from tensorboard.compat.proto.event_pb2 import SessionLog

            self._write(step=step, session_log=SessionLog(status=SessionLog.START))
            self._again = step
        if self._settings:
            self._configuration()
        self.flush(durable=False)
        return ()

    def recall(self, rows: Sequence[StepRow], epochs: Sequence[tuple[EpochRow, int]]) -> None:
        for row in rows:
            if row.step == self._again:
                self.step(row)
        for epoch, step in epochs:
            if step == self._again:
                self.epoch(epoch, step)

    def step(self, row: StepRow) -> None:
        self._scalars(row.step, {
            "train/loss": row.loss, "train/accuracy": row.accuracy, "lr": row.lr,
            "images_per_second": row.images_per_second,
        })  # fmt: skip

    def epoch(self, row: EpochRow, step: int) -> None:
        self._scalars(step, {"test/loss": row.test_loss, "test/accuracy": row.test_accuracy})

    def picture(self, tag: str, png: bytes, width: int, height: int, step: int) -> None:
        """Show a PNG file under Images."""
        image = self._summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=png
        )
        self._write(step=step, summary=self._one(tag=tag, image=image))

    def flush(self, durable: bool) -> None:
        if self._file is None:
            return
        try:
            self._file.flush()
            if durable:
                os.fsync(self._file.fileno())
        except OSError as problem:
            self._warned = warned(self._warned, Path(self._file.name), problem)

    def close(self) -> None:
        """End the file; so does leaving ``with``."""
        if self._file is None:
            return
        self.flush(durable=False)
        file, self._file = self._file, None
        try:
            file.close()
        except OSError as problem:
            self._warned = warned(self._warned, Path(file.name), problem)

    def __enter__(self) -> EventFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _scalars(self, step: int, values: Mapping[str, float]) -> None:
        each = [self._summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._write(step=step, summary=self._summary(value=each))

    def _configuration(self) -> None:
        from tensorboard.compat.proto.summary_pb2 import SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING

        table = ["| setting | value |", "| --- | --- |"]
        table += [f"| {_cell(name)} | {_cell(value)} |" for name, value in self._settings.items()]
        kind = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text"))
        text = TensorProto(dtype=DT_STRING, string_val=["\n".join(table).encode()])
        self._write(step=0, summary=self._one(tag="configuration", metadata=kind, tensor=text))

    def _one(self, **value: Any) -> Any:
        return self._summary(value=[self._summary.Value(**value)])

    def _write(self, **event: Any) -> None:
        if self._writer is None:
            return
        try:
            self._writer.write(self._event(wall_time=time.time(), **event).SerializeToString())
        except OSError as problem:
            self._warned = warned(self._warned, Path(self._file.name), problem)


def settings_shown(settings: Mapping[str, Any], most: int = 20) -> dict[str, str]:
    """Settings as short texts: long lists are cut."""

    def text(value: Any) -> str:
        if isinstance(value, Sequence) and not isinstance(value, str):
            shown = ", ".join(map(str, value[:most]))
            return shown + (f", … ({len(value)})" if len(value) > most else "")
        return str(value)

    return {name: text(value) for name, value in settings.items()}


def _cell(value: Any) -> str:
    """Text for a cell of a Markdown table, which TensorBoard makes safe HTML of."""
    return " ".join(str(value).split()).replace("|", "\\|")
