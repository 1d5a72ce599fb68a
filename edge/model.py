"""A model: an opened bundle with its engine, trees and explanations, ready for slides.

open_model reads and verifies the bundle, opens the engine that was asked for, and proves the trees on the golden
profiles; `Model.prove_golden` proves the engine on the golden cells. The bundle's bytes are let go afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.atlas import Atlas, atlas_from_bundle
from edge.bundle.manifest import AssessmentSpec, Manifest
from edge.bundle.reader import Bundle, open_bundle
from edge.catalogue import Catalogue
from edge.cohort import CohortSlides, cohort_from_bundle
from edge.contributions import Explainer, explainer_from_json
from edge.engines.base import Engine
from edge.engines.choose import EngineChoice, choose_engine
from edge.engines.installed import libraries_of_machine, require_gpu
from edge.errors import EdgeError
from edge.golden import GoldenCells, GoldenProof, golden_from_bundle, prove_golden
from edge.outliers import OutlierRule, outlier_rule_from_bundle
from edge.profile_scope import ProfileScope, scope_from_bundle
from edge.trees import TreeModel, open_trees


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """Everything that turns images into a result. Trees, explainers, scopes and cohorts are keyed by target.

    `digest` is the SHA-256 of the bundle's manifest; `choice` says which engine runs and why.
    """

    manifest: Manifest
    catalogue: Catalogue
    digest: str
    signed_by_trusted_key: bool
    engine: Engine
    choice: EngineChoice
    trees: Mapping[str, TreeModel]
    explainers: Mapping[str, Explainer]
    scopes: Mapping[str, ProfileScope | None]
    cohorts: Mapping[str, CohortSlides | None]
    outlier_rule: OutlierRule | None
    atlas: Atlas | None
    golden_cells: GoldenCells

    @property
    def trees_kind(self) -> str:
        """Return "compiled" when every target runs its native library, else "treelite"; "none" without a target."""
        kinds = {model.kind for model in self.trees.values()}
        if not kinds:
            return "none"
        return "compiled" if kinds == {"compiled"} else "treelite"

    @property
    def assessments(self) -> tuple[AssessmentSpec, ...]:
        """The questions that the bundle answers, in its order."""
        return self.manifest.assessments

    def prove_golden(self) -> GoldenProof:
        """Compare the engine with the original on the golden cells; this also warms it up.

        Raises EdgeError MDSE-BUNDLE-014 when they differ by more than the precision allows.
        """
        return prove_golden(self.engine, self.golden_cells)

    def close(self) -> None:
        """Give back the engine's memory."""
        self.engine.close()


def open_model(
    bundle_path: Path,
    *,
    public_key: bytes | None,
    engine: str = "cpu",
    cache_dir: Path | None = None,
    plans_dir: Path | None = None,
    threads: int | None = None,
) -> Model:
    """Open the bundle in `bundle_path` as a model.

    `public_key`: PEM of the trusted key, None where unsigned bundles are accepted. `engine`: a request as in
    `choose_engine`. `cache_dir`, `threads`: see the engine. `plans_dir`: where GPU plans lie, see `open_gpu_engine`.
    Raises EdgeError MDSE-BUNDLE-*, -ENGINE-*, -TREES-*, -PLAN-*, -GPU-* and MDSE-ASSESS-002; nothing native is loaded
    before the bundle is verified.
    """
    require_gpu(engine)
    bundle = open_bundle(bundle_path, public_key=public_key)
    choice = choose_engine(bundle.manifest.engines, libraries_of_machine(), engine)
    specs = bundle.manifest.assessments
    parts: dict[str, Any] = {
        "manifest": bundle.manifest,
        "catalogue": bundle.catalogue,
        "digest": bundle.digest,
        "signed_by_trusted_key": bundle.signed_by_trusted_key,
        "choice": choice,
        # Plain numbers first: what is wrong with them is said before a library reads anything of the bundle.
        "golden_cells": golden_from_bundle(bundle),
        "outlier_rule": outlier_rule_from_bundle(bundle),
        "atlas": atlas_from_bundle(bundle),
        "scopes": {spec.target: scope_from_bundle(bundle, spec) for spec in specs},
        "cohorts": {spec.target: cohort_from_bundle(bundle, spec) for spec in specs},
    }
    if choice.device == "gpu":
        from edge.gpu_plans import open_gpu_engine

        parts |= _open_trees(bundle)
        # Last, because nothing that fails after it would give its memory back.
        return Model(**parts, engine=_fitting(open_gpu_engine(bundle, choice, plans_dir), choice, bundle.manifest))
    manifest, network = bundle.manifest, bundle.read(choice.file)
    bundle = bundle.without_networks()  # compiling needs that memory for the one that runs
    with ThreadPoolExecutor(1, thread_name_prefix="engine") as pool:
        # Compiling is the library's work and needs no interpreter: trees are imported and opened meanwhile.
        opening = pool.submit(_open_cpu_engine, network, choice, manifest, cache_dir, threads)
        del network
        try:
            parts |= _open_trees(bundle)
        except BaseException:
            if opening.exception() is None:
                opening.result().close()  # nobody else would give its memory back
            raise
        return Model(**parts, engine=opening.result())


def _open_trees(bundle: Bundle) -> dict[str, Any]:
    targets = [spec.target for spec in bundle.manifest.assessments]
    return {
        "trees": {target: open_trees(bundle, target) for target in targets},
        "explainers": {target: _open_explainer(bundle, target) for target in targets},
    }


def _open_cpu_engine(
    network: bytes, choice: EngineChoice, manifest: Manifest, cache_dir: Path | None, threads: int | None
) -> Engine:
    # Imported here: a machine without this library can still open a bundle, and an import takes its time.
    from edge.engines.openvino import open_openvino

    opened = open_openvino(
        network, precision=choice.precision, size_px=manifest.image.size, cache_dir=cache_dir, threads=threads
    )
    return _fitting(opened, choice, manifest)


def _fitting(engine: Engine, choice: EngineChoice, manifest: Manifest) -> Engine:
    """Return the engine; close it and raise EdgeError MDSE-ENGINE-005 when its outputs are not the manifest's."""
    spec = engine.spec
    found = (spec.type_count, spec.finding_count, spec.embedding_dim)
    expected = (len(manifest.types), len(manifest.findings), manifest.embedding_dim)
    if found != expected:
        engine.close()
        reason = f"its outputs have {found} columns, the manifest says {expected}"
        raise EdgeError("MDSE-ENGINE-005", where=choice.file, reason=reason)
    return engine


def _open_explainer(bundle: Bundle, target: str) -> Explainer:
    name = f"trees/{target}/model.json"
    return explainer_from_json(bundle.read(name), target, bundle.manifest.parameters, where=name)
