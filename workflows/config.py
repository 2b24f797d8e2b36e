"""The config of a run: YAML read and checked, every problem told at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from neq import urls
from neq.errors import ConfigError
from workflows import config_problems, studies, yaml_text
from workflows.config_sections import ClusterConfig as ClusterConfig
from workflows.config_sections import Section as Section
from workflows.config_sections import StopConfig as StopConfig
from workflows.config_sections import SweepConfig as SweepConfig

NOT_SCIENCE = ("results", "work", "cluster", "sweep", "figures")
"""Keys that cannot change a cell's number."""


def _destination(value: Any) -> Any:
    """Return a URL as text and anything else as what it was, a path for pydantic."""
    if value is not None and not isinstance(value, str | Path):
        raise ValueError("expected a folder, or a URL such as s3://bucket/lab/demo")
    if not urls.is_url(value):
        return Path(value) if isinstance(value, str) else value
    if not value.rstrip("/").partition("://")[2].partition("/")[2]:
        raise ValueError("expected a folder within the bucket, such as s3://bucket/lab/demo")
    return value.rstrip("/")


class RunConfig(Section):
    """The keys every study has; a study's own config is a subclass with its keys."""

    study: str = "neural_recordings"
    """Which study this is."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Root of all random streams."""
    results: Annotated[Path | str | None, BeforeValidator(_destination)] = None
    """Run folder, or a URL at which its copy is kept; null: results/NAME, NAME being the name of this file."""
    work: Path | None = None
    """Run folder while results is a URL; null: results/NAME, NAME being the last part of the URL."""
    sweep: SweepConfig = SweepConfig()
    cluster: ClusterConfig = ClusterConfig()

    _name: str = PrivateAttr(default="")

    @property
    def name(self) -> str:
        """Name of the run: of its config file, without the suffix."""
        return self._name

    @property
    def url(self) -> str:
        """Where a copy of this run is kept; "" for nowhere."""
        return self.results if isinstance(self.results, str) else ""

    @property
    def run_folder(self) -> Path:
        """Where everything of this run lies."""
        if isinstance(self.results, str):
            return self.work if self.work is not None else Path("results") / urls.last_part(self.results)
        return self.results if self.results is not None else Path("results") / self.name

    @model_validator(mode="after")
    def _work_beside_url(self) -> Self:
        if self.work is not None and isinstance(self.results, Path):
            raise ValueError(f"work: it goes with a URL in results, which is the folder {self.results}: leave it out")
        return self


def data_folder() -> Path:
    """Return the folder of recorded data: ``$NEQ_DATA``, else ``data``."""
    return Path(os.environ.get("NEQ_DATA") or "data")


def locate(path: str, config_folder: Path | None = None) -> str:
    """Return ``path`` made absolute: as it is, else in the data folder, else beside the config.

    A path found in none of them is placed in the data folder, so that the reader's message says where it was expected.
    """
    given = Path(path).expanduser()
    folders = [data_folder(), *([] if config_folder is None else [config_folder])]
    for folder in folders:
        if any(folder.glob(path)) if _is_pattern(path) and not given.is_absolute() else (folder / given).exists():
            return str((folder / given).absolute())
    return str((folders[0] / given).absolute())


def _is_pattern(path: str) -> bool:
    return any(character in path for character in "*?[")


def _locate_field(path: str, info: ValidationInfo) -> str:
    return locate(path, (info.context or {}).get("folder"))


DataPath = Annotated[str, AfterValidator(_locate_field)]
"""Type of a field that names recorded data; see :func:`locate`."""


def load(path: str | Path, overrides: list[str] | tuple[str, ...] = ()) -> RunConfig:
    """Return the checked config of a YAML file, of the class that its study declares.

    Parameters
    ----------
    path
        The file; its stem is the name of the run.
    overrides
        ``"a.b=VALUE"`` each, VALUE in YAML; set before the check.

    Raises
    ------
    neq.errors.ConfigError
        The file is missing or not YAML, or its content is not a config: all problems at once.
    """
    path = Path(path)
    raw, problems = _read(path)
    problems += [problem for text in overrides if (problem := _override(raw, text))]
    try:
        config: RunConfig | None = _validate(raw, {"folder": path.parent})
    except ConfigError as error:
        config, problems = None, problems + list(error.args[1])
    if problems or config is None:
        raise _config_error(str(path), problems)
    # frozen for users; the name is no field, so that it never enters a hash or a dump
    config._name = path.stem
    if config.results is None and path.name == "config.yaml" and (path.parent / "sweep.zarr").exists():
        return config.model_copy(update={"results": path.parent})  # the config that a run folder keeps
    return config


def rebuild(science_part: dict[str, Any]) -> RunConfig:
    """Return the config that :func:`science` came from, with the defaults for what is not science."""
    return _validate(science_part, {})


def science(config: RunConfig) -> dict[str, Any]:
    """Return the part of a config that can change a cell's number or label, as plain JSON.

    Examples
    --------
    >>> science(RunConfig(seed=3, results="elsewhere"))
    {'study': 'neural_recordings', 'seed': 3}
    """
    return {name: value for name, value in config.model_dump(mode="json").items() if name not in NOT_SCIENCE}


def resolved(config: RunConfig) -> str:
    """Return the whole config as YAML, defaults filled in and paths absolute."""
    return yaml_text.dump(config.model_dump(mode="json"))


def _read(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the mapping in the file and the duplicate keys as problems."""
    try:
        content, duplicates = yaml_text.parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"The config {path} cannot be read ({error.strerror}): give the path of a YAML file."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"The config {path} is not text in UTF-8: give a YAML file.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"The config {path} is not YAML, {yaml_text.syntax_problem(error)}.") from error
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise ConfigError(f"The config {path} must hold keys and values, found {type(content).__name__}.")
    return content, [f"{key}: written twice (again in line {line}); keep one" for key, line in duplicates]


def assigned(texts: Sequence[str], option: str) -> dict[str, Any]:
    """Return what a repeated command line option sets, ``"a.b=VALUE"`` each, VALUE in YAML.

    Raises
    ------
    neq.errors.ConfigError
        One of them is no such text: all problems at once.

    Examples
    --------
    >>> assigned(["order=reference", "quality={snr: '> 2'}"], "--option")
    {'order': 'reference', 'quality': {'snr': '> 2'}}
    """
    made: dict[str, Any] = {}
    if problems := [problem for text in texts if (problem := _override(made, text, option))]:
        raise _config_error("the command", problems)
    return made


def _override(raw: dict[str, Any], text: str, option: str = "--set") -> str | None:
    """Set one ``a.b=VALUE`` in ``raw``; return what is wrong with it, if anything."""
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        return f"{option} {text}: expected KEY=VALUE, or KEY.KEY=VALUE"
    target = raw
    for part in parts[:-1]:
        if target.get(part) is None:
            target[part] = {}
        if not isinstance(target[part], dict):
            return f"{option} {text}: {part} holds no keys of its own; set it whole, as in {option} {part}=VALUE"
        target = target[part]
    try:
        target[parts[-1]], _ = yaml_text.parse(value)
    except yaml.YAMLError as error:
        return f"{option} {text}: the value is not YAML ({yaml_text.syntax_problem(error)})"
    return None


def _validate(raw: dict[str, Any], context: dict[str, Any]) -> RunConfig:
    """Check ``raw`` against the config class of its study; the error's second argument lists the problems."""
    name = raw.get("study", RunConfig.model_fields["study"].default)
    try:
        model = studies.study_class(name).Config
    except (KeyError, ImportError, AttributeError, TypeError) as error:
        problem = config_problems.unknown_study(name, list(studies.STUDIES), error)
        raise _config_error("the config", [problem]) from error
    try:
        config: RunConfig = model.model_validate(raw, context=context)
    except ValidationError as error:
        raise _config_error("the config", config_problems.describe(error, raw, model)) from None
    return config


def _config_error(where: str, problems: list[str]) -> ConfigError:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    error = ConfigError(f"{where} has {count}:" + "".join(f"\n  {problem}" for problem in problems))
    error.args = (*error.args, tuple(problems))
    return error
