"""A bundle on the model hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from distill.runtime.manifest import predict_command, read_manifest
from distill.system import atomic
from distill.system.errors import UserError
from distill.system.hub import unreachable
from distill.tasks import decoder_class

#: Letters, digits, and between them ``-``, ``_`` and ``.``, as the hub takes names.
_NAME = re.compile(r"[A-Za-z0-9]([\w.-]{0,94}[A-Za-z0-9_])?", re.ASCII)
_REFUSED = {
    401: "the hub does not know the token; make one at hf.co/settings/tokens and set HF_TOKEN",
    403: "the token may not write there; give one with the role 'write' for this owner",
    404: "there is no such owner, or the token cannot see it; fix the name",
}


def check_name(repo: str) -> None:
    """Refuse what is not ``OWNER/NAME``, by a UserError."""
    parts = repo.split("/")
    fits = all(_NAME.fullmatch(part) and not re.search(r"--|\.\.", part) for part in parts)
    if len(parts) != 2 or not fits or parts[1].endswith(".git"):
        raise UserError(
            f"--push {repo}: not a name on the hub; write OWNER/NAME, of letters, digits, '-', '_' "
            "and '.'"
        )


def push(bundle: Path, repo: str, *, public: bool = False, licence: str | None = None) -> str:
    """Upload a bundle with its card, as one commit; other files of the repository stay.

    The token is that of ``HF_TOKEN`` or of ``hf auth login``, the hub that of ``HF_ENDPOINT``. A
    bundle without ``README.md`` gets a short one, a repository ``OWNER/NAME`` that is not there is
    made; only a ``public`` one is seen by everybody.

    Returns:
        Its address.

    Raises:
        UserError: there is no token or no network, or the hub refuses; or the repository is public
            and ``public`` does not say so.
    """
    from huggingface_hub import HfApi, get_token
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    check_name(repo)
    if get_token() is None:
        raise UserError(f"--push {repo}: no token; set HF_TOKEN, or log in: hf auth login")
    if (why := unreachable()) is not None:
        raise UserError(f"--push {repo}: {why}; {bundle} is whole, push it again with a network")
    write_metadata(bundle, licence)
    api = HfApi()
    # What its client's library for HTTP raises; another with each version.
    broken: list[Any] = [kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError"]
    try:
        address = str(api.create_repo(repo, private=not public, exist_ok=True))
        if public == bool(api.model_info(repo).private):  # it was there, and stays as it is
            raise UserError(
                f"--push {repo}: it is private; change that in its settings, or leave --public out"
                if public
                else f"--push {repo}: everybody can see it; say so with --public"
            )
        api.upload_folder(repo_id=repo, folder_path=bundle, commit_message="Upload the bundle")
    except OfflineModeIsEnabled as error:
        raise UserError(f"--push {repo}: HF_HUB_OFFLINE is set; unset it") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        why = f"{_REFUSED.get(status, _line(error))} (HTTP {status})"
        raise UserError(f"--push {repo}: {why}") from error
    except (*broken, ConnectionError, RuntimeError) as error:
        raise UserError(f"--push {repo}: it broke off ({_line(error)}); push it again") from error
    except ValueError as error:  # the hub's check of the card
        raise UserError(f"--push {repo}: {bundle}/README.md: {_line(error)}; fix it") from error
    return address


def write_metadata(bundle: Path, licence: str | None) -> None:
    """Put the licence into a bundle's card, and write a short card where there is none."""
    from huggingface_hub import ModelCard, ModelCardData

    path = bundle / "README.md"
    if not path.is_file():
        manifest = read_manifest(bundle)
        words = decoder_class(manifest.task).words
        library = "transformers" if "transformers" in manifest.formats else "distill"
        data = ModelCardData(library_name=library, pipeline_tag=words.pipeline, tags=[words.tag])
        command = predict_command(bundle, "path/to/this/folder")
        text = f"# {bundle.resolve().name}\n\nOn the command line: `{command}`.\n"
        atomic.write_text(path, f"---\n{data.to_yaml()}\n---\n\n{text}")
    if licence is None:
        return
    try:
        card: Any = ModelCard(path.read_text("utf-8"))
    except Exception as error:  # of PyYAML, or ValueError
        raise UserError(f"{path}: its front matter cannot be read ({_line(error)})") from error
    card.data.license = licence
    atomic.write_text(path, str(card))


def _line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
