"""Why a model is refused. `reason` is a word for machines; the message is for people."""

from __future__ import annotations


class BundleError(Exception):
    """A bundle that must not serve."""

    reason = "bundle-invalid"


class BundleMissing(BundleError):
    reason = "model-not-found"


class ManifestInvalid(BundleError):
    reason = "manifest-invalid"


class DigestMismatch(BundleError):
    reason = "digest-mismatch"


class SchemaMismatch(BundleError):
    reason = "schema-mismatch"


class ModelUnreadable(BundleError):
    reason = "model-unreadable"


class GoldenMismatch(BundleError):
    reason = "golden-mismatch"
