"""Which image each file means that the metadata lists, and what of them is missing or contradicts the folder.

A name is a path below the slide's folder. A bare name that is no such path means an image in the sub-folder of its kind
alone: running numbers begin anew in each sub-folder. Where they do not, a bare name without a kind that no cell has
means the one image of another kind that has it. The daemon's copy holds cells only: such a name is looked for on the
share and not asked for again in the copy.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from edge.errors import printable
from edge.slide_files import SlideFile, SlideListing, kind_of
from edge.slide_metadata import PromisedFile, SlideMetadata

CELL = "wbc"


def promised_of_images(listing: SlideListing, metadata: SlideMetadata) -> dict[str, PromisedFile]:
    """Return what the metadata says of each image, by the image's path; its path says more than its bare name.

    A name that can mean two images says nothing of either.
    """
    meant = [(file, images[0].path) for file, images in _images_meant(listing, metadata) if len(images) == 1]
    bare = {path: file for file, path in meant if file.name != path}
    return bare | {path: file for file, path in meant if file.name == path}


def missing_file(listing: SlideListing, metadata: SlideMetadata, *, is_copy: bool) -> str:
    """Say which promised cell image is not there whole and beyond doubt; "" when all are.

    `is_copy`: the listing is of the daemon's copy, which images of other kinds are not in.
    """
    for file, images in _images_meant(listing, metadata):
        name = printable(file.name)
        if _kind_promised(file) != CELL or (not _is_of_known_kind(file) and _is_left_out(images, is_copy=is_copy)):
            continue
        if not images:
            return f"{name} is promised by the metadata and is not there."
        if len(images) > 1:
            paths = " or ".join(printable(image.path) for image in images)
            return f"{name} is promised by the metadata without its folder and can be {paths}."
        (image,) = images
        if image.kind != CELL:
            return f"{name} is promised as a cell by the metadata and lies among the images of kind {image.kind}."
        if file.size_bytes is not None and image.size_bytes != file.size_bytes:
            return f"{name} holds {image.size_bytes} bytes, {file.size_bytes} were promised."
    return ""


def kind_contradicted(listing: SlideListing, metadata: SlideMetadata) -> str:
    """Say which bare name the metadata calls no cell while only a cell image has it; "" when there is none.

    The cell stays: the image that is meant may lie in a sub-folder that was not copied.
    """
    cells = {PurePosixPath(image.path).name: image.path for image in listing.images if image.kind == CELL}
    for file, images in _images_meant(listing, metadata):
        if not images and file.name in cells:
            kind, path = printable(_kind_promised(file)), printable(cells[file.name])
            return f"{printable(file.name)} is listed as {kind} without its folder; {path} was kept as a cell."
    return ""


def cells_left_out(listing: SlideListing, metadata: SlideMetadata) -> str:
    """Say how many images in `wbc/` the metadata takes away, because it lists them by path as no cells; "" for none.

    In a flat folder nothing is contradicted: there the metadata alone may know which image is of which kind.
    """
    inside = [image.path for image in listing.images if image.kind == CELL and "/" in image.path]
    promised = promised_of_images(listing, metadata)
    kinds = {path: promised[path].kind for path in inside if path in promised}
    left_out = [path for path, kind in kinds.items() if kind not in (None, CELL)]
    if not left_out:
        return ""
    first = f"first: {printable(left_out[0])} as {kinds[left_out[0]]}"
    return f"{len(left_out)} of {len(inside)} images in wbc/ are listed as no cells and were left out ({first})."


def _images_meant(listing: SlideListing, metadata: SlideMetadata) -> list[tuple[PromisedFile, list[SlideFile]]]:
    """Return each promised file with the images that its name can mean: the one of this path, else of a bare name."""
    by_path = {image.path: image for image in listing.images}
    by_kind: dict[tuple[str, str], list[SlideFile]] = {}
    for image in listing.images:
        by_kind.setdefault((image.kind, PurePosixPath(image.path).name), []).append(image)
    others = _others_by_own_name(listing)
    meant: list[tuple[PromisedFile, list[SlideFile]]] = []
    for file in metadata.files:
        images = [by_path[file.name]] if file.name in by_path else by_kind.get((_kind_promised(file), file.name), [])
        if not images and not _is_of_known_kind(file) and file.name in others:
            images = [others[file.name]]
        meant.append((file, images))
    return meant


def _others_by_own_name(listing: SlideListing) -> dict[str, SlideFile]:
    """Return the images of other kinds than cells by those bare names that tell them apart from each other.

    None where a cell shares its name with one: the numbers begin anew, and a bare name may be a cell still to come.
    """
    by_name: dict[str, list[SlideFile]] = {}
    for image in listing.images:
        by_name.setdefault(PurePosixPath(image.path).name, []).append(image)
    if any(len({image.kind == CELL for image in images}) > 1 for images in by_name.values()):
        return {}
    return {name: images[0] for name, images in by_name.items() if len(images) == 1 and images[0].kind != CELL}


def _is_of_known_kind(file: PromisedFile) -> bool:
    """Tell whether the metadata says what the file is: by its kind, its folder, or a word of its name."""
    return file.kind is not None or "/" in file.name or _kind_promised(file) != CELL


def _is_left_out(images: list[SlideFile], *, is_copy: bool) -> bool:
    """Tell whether a name of no known kind means an image of another kind, which nobody waits for.

    A copy cannot tell: the share was judged before it was made, and a person's release is told by itself (RELEASED).
    """
    return is_copy if not images else len(images) == 1 and images[0].kind != CELL


def _kind_promised(file: PromisedFile) -> str:
    """Return the kind that the metadata gives, else the one that the file rule reads from the name."""
    return file.kind or (kind_of(file.name) if PurePosixPath(file.name).name else CELL)
