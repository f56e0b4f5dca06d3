"""The repository on the Hub: whose it is, what it holds, one commit with everything, and its tag.

Every step is safe to repeat, since its answer may be lost; client.py repeats it and words the refusals.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from nlp_transfer.errors import PublishError
from nlp_transfer.publishing.client import TOKEN_PAGE, retried, status_of
from nlp_transfer.publishing.model_card import TAG

if TYPE_CHECKING:
    from huggingface_hub import HfApi

logger = logging.getLogger(__name__)
# What the Hub itself puts into a new repository, and what people add to one by hand before a model.
NOBODYS_FILES = {".gitattributes", "README.md", "LICENSE"}
VERSION_TAG = re.compile(r"v(\d+)")


def own_name(api: HfApi, repo_id: str) -> str:
    """Ask whose token it is, complete the name, and refuse what the token cannot do.

    Raises:
        PublishError: the token only reads, or the name is somebody else's.
    """
    about = retried(api.whoami)
    access = (about.get("auth") or {}).get("accessToken") or {}
    user = str(about["name"])
    if access.get("role") == "read":
        raise PublishError(
            f"the token of {user} may only read; make one with write access at "
            f"{TOKEN_PAGE}, then `hf auth login`"
        )
    owner, _, name = repo_id.rpartition("/")
    mine = {user, *(str(organization["name"]) for organization in about.get("orgs") or [])}
    # A fine-grained token does not list all organizations; there the Hub itself decides.
    if owner and owner not in mine and access.get("role") == "write":
        raise PublishError(
            f"{repo_id} is not yours to publish to: the token is {user}'s. Name it {user}/{name}, or log in "
            f"as somebody who may write to {owner}"
        )
    return f"{owner or user}/{name}"


def make_repository(api: HfApi, repo_id: str, *, private: bool) -> bool:
    """Make the repository, or see that the one there may be written over; return whether it is private.

    Raises:
        PublishError: it holds something else, or is public where a private one was asked for.
    """
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        info = retried(lambda: api.model_info(repo_id))
    except RepositoryNotFoundError:
        retried(lambda: api.create_repo(repo_id, private=private, exist_ok=True))
        return private
    files = {file.rfilename for file in info.siblings or []}
    if files - NOBODYS_FILES and TAG not in (info.tags or []):
        raise PublishError(
            f"{repo_id} is taken: it holds something that was not published from here "
            f"({', '.join(sorted(files - NOBODYS_FILES)[:3])}); choose another name"
        )
    if private and not info.private:
        raise PublishError(
            f"{repo_id} is public, and a private model was asked for; publish there with --public "
            "(private=False), or choose another name"
        )
    if not private and info.private:
        logger.warning("%s stays private: make it public in its settings on the Hub", repo_id)
    return bool(info.private)


def free_tag(api: HfApi, repo_id: str, wanted: str | None) -> str:
    """Return the tag to give: the wanted one where it is free, else the next of v1, v2, ..."""
    tags = {ref.name for ref in retried(lambda: api.list_repo_refs(repo_id)).tags}
    if wanted is not None:
        if wanted in tags:
            raise PublishError(
                f"{repo_id} has a revision {wanted} already; name another one, or leave it out"
            )
        return wanted
    numbers = [int(match[1]) for match in map(VERSION_TAG.fullmatch, tags) if match]
    return f"v{max(numbers, default=0) + 1}"


def commit(api: HfApi, repo_id: str, folder: Path, *, files: Iterable[str], message: str) -> str:
    """Upload and commit at once; what an earlier revision had and this one has not is removed.

    Safe to repeat: the operations are made anew from what is there, and what is there is not sent again.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    files = list(files)
    there = set(api.list_repo_files(repo_id))
    stale = sorted(there - set(files) - NOBODYS_FILES)
    made = api.create_commit(
        repo_id,
        [
            *(CommitOperationAdd(path, str(folder / path)) for path in files),
            *(CommitOperationDelete(path) for path in stale),
        ],
        commit_message=message,
    )
    return str(made.oid)


def tag_revision(api: HfApi, repo_id: str, tag: str, revision: str) -> None:
    """Tag the commit; a tag that is there already is right where it names this commit."""

    def make() -> None:
        from huggingface_hub.errors import HfHubHTTPError

        try:
            api.create_tag(repo_id, tag=tag, revision=revision)
        except HfHubHTTPError as error:
            refs = api.list_repo_refs(repo_id).tags if status_of(error) == 409 else []
            if not any(ref.name == tag and ref.target_commit == revision for ref in refs):
                raise

    retried(make)
