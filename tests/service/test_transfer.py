from __future__ import annotations

import os
from pathlib import Path

import pytest

from service import bundle
from service.errors import BundleError, DigestMismatch
from service.transfer import copy_bundle, install
from tests.service.bundles import make_bundle


def test_a_copy_follows_no_link(tmp_path: Path) -> None:
    manifest = make_bundle(tmp_path / "source")
    model = tmp_path / "source" / bundle.MODEL
    model.rename(tmp_path / "elsewhere")
    model.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "target").mkdir()
    with pytest.raises(DigestMismatch, match=r"model\.ubj is part of the bundle and cannot be read"):
        copy_bundle(tmp_path / "source", tmp_path / "target", manifest)


@pytest.mark.parametrize("name", [bundle.MODEL, bundle.MANIFEST])
def test_a_download_that_stops_early_installs_nothing(tmp_path: Path, name: str) -> None:
    manifest = make_bundle(tmp_path / "source")

    def cut(folder: Path) -> None:
        copy_bundle(tmp_path / "source", folder, manifest)
        os.truncate(folder / name, 100)

    with pytest.raises(BundleError):
        install(tmp_path / "into", manifest, cut)
    assert not (tmp_path / "into" / "tiny").exists()
    installed = install(tmp_path / "into", manifest, lambda folder: copy_bundle(tmp_path / "source", folder, manifest))
    assert bundle.verify(installed) == manifest
