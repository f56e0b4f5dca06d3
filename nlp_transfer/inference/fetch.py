"""Brings a model's own files from the Hub, and nothing else of its repository, and checks what arrived.

`huggingface_hub` compares sizes only. The name of a file in its cache is the hash that the Hub stated, so a
damaged download is told from a good one here, fetched a second time, and refused if it is damaged again.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from pathlib import Path

from nlp_transfer.data.sources import file_sha256
from nlp_transfer.errors import ModelError

logger = logging.getLogger(__name__)
# Top-level files by kind; a repository also holds figures, exports and other frameworks' weights.
MODEL_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.spm", "*.jinja")
OTHER_FILES = ("*/*", "report.json")
SHA256_DIGITS, GIT_DIGITS = 64, 40


def fetch_model(repo_id: str, *, revision: str | None = None) -> Path:
    """Return the folder of a Hub model's files, as they are at a revision.

    Args:
        repo_id: owner/name.
        revision: a commit, tag or branch; None is the default branch.

    Raises:
        ModelError: there is no such model or revision, it cannot be reached, or arrives damaged.
    """
    before = set(_blobs(repo_id))
    folder = _download(repo_id, revision)
    damaged = _damaged(folder, before)
    if not damaged:
        return folder
    logger.warning("%s arrived damaged (%s); fetching it again", repo_id, _names(damaged))
    _discard(damaged)
    folder = _download(repo_id, revision)
    damaged = _damaged(folder, before)
    if damaged:
        _discard(damaged)
        raise ModelError(
            f"{repo_id} arrives damaged: {_names(damaged)} is not what the Hub says it is, twice. Look at "
            "the network between (a proxy that changes files?), then try again"
        )
    return folder


def _download(repo_id: str, revision: str | None) -> Path:
    import httpx2
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(
            snapshot_download(
                repo_id,
                revision=revision,
                allow_patterns=list(MODEL_FILES),
                ignore_patterns=list(OTHER_FILES),
            )
        )
    except HFValidationError as error:
        raise ModelError(f"{repo_id!r} is neither a folder nor a Hub id (owner/name)") from error
    except GatedRepoError as error:
        raise ModelError(
            f"{repo_id} is on the Hub behind terms that you have not accepted; accept them on its page, then "
            "`hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise ModelError(
            f"the Hub shows no model {repo_id}: there is none, or it is private and you are not logged in as "
            "somebody who may see it (`hf auth login`)"
        ) from error
    except RevisionNotFoundError as error:
        raise ModelError(f"{repo_id} has no revision {revision!r}; {_known_revisions(repo_id)}") from error
    except LocalEntryNotFoundError as error:
        kept = _cached_folder(repo_id, revision)
        if kept is not None:
            return kept
        raise ModelError(
            f"the model {repo_id} cannot be loaded: there is no such folder here, the Hub cannot be reached, "
            "and there is no copy of it in the cache"
        ) from error
    except (HfHubHTTPError, httpx2.HTTPError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"the model {repo_id} cannot be fetched ({reason}); try again") from error


def _known_revisions(repo_id: str) -> str:
    """List the branches and tags that there are."""
    import httpx2
    from huggingface_hub import list_repo_refs
    from huggingface_hub.errors import HfHubHTTPError

    try:
        refs = list_repo_refs(repo_id)
    except (HfHubHTTPError, httpx2.HTTPError):
        return "look at its page for those that there are"
    return f"it has {', '.join(ref.name for ref in [*refs.branches, *refs.tags])}"


def _cached_folder(repo_id: str, revision: str | None) -> Path | None:
    """Return where an earlier load by `transformers` left the model, for a machine without network."""
    from huggingface_hub import try_to_load_from_cache

    for name in ("config.json", "adapter_config.json"):
        found = try_to_load_from_cache(repo_id, name, revision=revision)
        if isinstance(found, str):
            return Path(found).parent
    return None


def _blobs(repo_id: str) -> Iterable[Path]:
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{repo_id.replace('/', '--')}" / "blobs"
    return folder.resolve().iterdir() if folder.is_dir() else ()


def _damaged(folder: Path, before: set[Path]) -> list[Path]:
    """Return the files that arrived just now and do not hash to what the Hub calls them."""
    files = [path for path in folder.iterdir() if path.is_file()]
    return [path for path in files if path.resolve() not in before and not _as_named(path.resolve())]


def _as_named(blob: Path) -> bool:
    """Compare a cached file with the hash that is its name: SHA-256 of large files, git's SHA-1 of others."""
    if len(blob.name) == SHA256_DIGITS:
        return file_sha256(blob) == blob.name
    if len(blob.name) == GIT_DIGITS:
        content = blob.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest() == blob.name
    # Without symbolic links the cache names files by their path, which says nothing about their content.
    return True


def _discard(files: Iterable[Path]) -> None:
    for path in files:
        path.resolve().unlink(missing_ok=True)
        path.unlink(missing_ok=True)


def _names(files: Iterable[Path]) -> str:
    return ", ".join(sorted(path.name for path in files))
