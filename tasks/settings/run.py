"""All settings of a run."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)

from tasks.geometry import known_side, size_problem
from tasks.runtime.threads import DEFAULT_THREADS
from tasks.settings.base import (
    Root,
    split_commas,
)
from tasks.settings.data import AuditSettings, ConvertSettings, DownloadSettings
from tasks.settings.figures import FigureSettings
from tasks.settings.network import NetworkSettings
from tasks.settings.presets import PRESETS, Preset
from tasks.settings.training import EvaluationSettings, ScheduleSettings, TrainingSettings

NOT_RESULT_SETTINGS = {"artifacts", "refresh", "runner", "dask_address"}
"""Settings that do not influence results: where they are stored and computed."""


def given(values: Any) -> dict[str, Any]:
    """Return the values of a group of settings that were given, as a dictionary."""
    if isinstance(values, BaseModel):
        return values.model_dump(exclude_unset=True)
    return dict(values or {})


class Settings(BaseModel):
    """All settings of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    preset: Preset = Field(
        "tutorial",
        description="Settings that go together, unless other values are given: tutorial (98.7 % in"
        " 10,000 iterations), fast (the same network, 99 % in a 25th of the time), or best (a"
        " larger network, 99.67 % in 6 to 15 minutes on two cores). In a form, a field that is"
        " filled in counts as given.",
    )
    schedule: ScheduleSettings = ScheduleSettings()
    training: TrainingSettings = TrainingSettings()
    network: NetworkSettings = NetworkSettings()
    download: DownloadSettings = DownloadSettings()
    convert: ConvertSettings = ConvertSettings()
    audit: AuditSettings = AuditSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    figures: FigureSettings = FigureSettings()
    artifacts: Root | None = Field(
        None,
        description="Folder that results are kept in, or a URL such as s3://bucket/mnist. Default:"
        " artifacts/ beside this project.",
    )
    threads: Annotated[int, Field(ge=1, le=256)] = Field(
        DEFAULT_THREADS,
        description="Threads that TensorFlow computes with, in each process. The last bits of its"
        " results depend on it.",
    )
    runner: Literal["local", "dask"] = Field(
        "local",
        description="Where stages are computed: in this process, or by the workers of a Dask"
        " cluster, which need no more in common with it than --artifacts.",
    )
    dask_address: str | None = Field(
        None,
        description="Scheduler of a Dask cluster, as in tcp://host:8786; implies --runner dask."
        " Default: a cluster of its own on this machine.",
    )
    refresh: Annotated[tuple[str, ...], BeforeValidator(split_commas)] = Field(
        (),
        description="Stages to run again regardless of the cache, by their names in --status; later"
        " stages run if the new bytes differ. Alone, or with `all`: every stage.",
    )

    @model_validator(mode="before")
    @classmethod
    def put_preset_below(cls, values: Any) -> Any:
        """Use the preset's values where no others are given."""
        if not isinstance(values, dict) or values.get("preset", "tutorial") not in PRESETS:
            return values
        return values | {
            group: preset | given(values.get(group))
            for group, preset in PRESETS[values.get("preset", "tutorial")].items()
        }

    @model_validator(mode="after")
    def network_fits_the_images(self) -> Self:
        """Check the network if the image size is known; otherwise `initialise` checks it."""
        data = self.download
        side = known_side(data.source, data.digests, data.image_size)
        if side and (fault := size_problem(self.network, side, side)):
            raise ValueError(fault)
        return self

    @model_validator(mode="after")
    def networks_have_a_mean(self) -> Self:
        if self.schedule.networks > 1 and self.network.logits_activation != "none":
            raise ValueError("--networks: several networks need --logits-activation none")
        return self

    @model_validator(mode="after")
    def address_of_dask(self) -> Self:
        if self.dask_address and self.runner != "dask" and "runner" in self.model_fields_set:
            raise ValueError("--dask-address goes with --runner dask")
        return self

    @property
    def cycle(self) -> int | None:
        """Iterations of the learning rate's one cycle; None if it is constant."""
        one_cycle = self.training.rate_schedule == "one-cycle"
        return self.schedule.iterations if one_cycle else None
