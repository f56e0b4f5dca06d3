"""Finds `recipes/` and `data_cards/`: inside the installed package, else at the repository's root."""

from __future__ import annotations

from pathlib import Path

from nlp_transfer.errors import ConfigError, TransferError, did_you_mean


def resource_dir(name: str) -> Path:
    """Return the folder of shipped recipes or data cards.

    A wheel carries them inside the package; an editable install reads the repository's.

    Raises:
        TransferError: neither place has it.
    """
    package = Path(__file__).parent
    for folder in (package / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise TransferError(f"the installation of nlp-transfer has no {name}; install it again")


def list_recipes() -> dict[str, str]:
    """Return the shipped recipes by name, each with its opening comment."""
    root = resource_dir("recipes")
    files = [path for path in sorted(root.glob("*/*.yaml")) if path.parent.name != "accelerate"]
    return {
        path.relative_to(root).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
        .partition("\n")[0]
        .lstrip("# ")
        for path in files
    }


def copy_recipe(name: str, to: Path | None) -> Path:
    """Copy a shipped recipe to a new file.

    Raises:
        ConfigError: there is no such recipe, or the file exists.
    """
    known = list_recipes()
    name = name.removesuffix(".yaml")
    if name not in known:
        raise ConfigError(f"no recipe {name!r}; {did_you_mean(name, known)}")
    target = to or Path(f"{name.replace('/', '_')}.yaml")
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write((resource_dir("recipes") / f"{name}.yaml").read_text(encoding="utf-8"))
    except FileExistsError as error:
        raise ConfigError(f"{target} exists already; choose another name with --to") from error
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}") from error
    return target
