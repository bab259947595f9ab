"""The second project: what a cluster needs before Argo CD can do the rest, and Argo CD. Nothing else is in it.

It is a project of its own so that no AWS resource ever depends on reaching the cluster: what is wrong in there cannot
keep the first project from being applied.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as k8s

from infra import argocd
from infra.argocd import ArgoCdSettings
from infra.options import SettingsError, section
from infra.settings import ENVIRONMENTS

PLATFORM = "podium"
"""The project whose outputs say where the cluster is."""

LEVELS: Mapping[str, str] = {
    "podium": "restricted",
    # Third parties' charts: what they would break of `restricted` is warned of, for their versions are pinned and seen.
    argocd.NAMESPACE: "baseline",
    "keda": "baseline",
    "monitoring": "baseline",
}
"""The namespaces, by what Pod Security enforces in them."""


def run() -> None:
    """Registers the stack that Pulumi is at.

    Raises:
        SettingsError: its configuration cannot be used; then nothing is registered.
    """
    environment = pulumi.get_stack()
    if environment not in ENVIRONMENTS:
        raise SettingsError(f"there is no stack {environment!r}: there are {' and '.join(ENVIRONMENTS)}")
    settings: ArgoCdSettings = section(
        pulumi.Config("podium").get_object("argocd") or {}, ArgoCdSettings, "podium:argocd"
    )
    platform = pulumi.StackReference(f"{pulumi.get_organization()}/{PLATFORM}/{environment}")
    build(environment, settings, provider(platform))


def provider(platform: pulumi.StackReference) -> k8s.Provider:
    """The cluster of the first project. Who is asked for is in no file: a token is made for each call, out of the
    credentials at hand."""
    outputs = ("cluster-name", "cluster-endpoint", "cluster-certificate-authority", "region")
    config = pulumi.Output.all(*(platform.require_output(each) for each in outputs)).apply(
        lambda found: kubeconfig(*found)
    )
    return k8s.Provider(
        "cluster",
        kubeconfig=config,
        enable_server_side_apply=True,
        # Else a changed ConfigMap would be another one by another name, and the CNI's has to keep its name.
        enable_config_map_mutable=True,
    )


def kubeconfig(name: str, endpoint: str, authority: str, region: str) -> str:
    """How to reach a cluster, with no secret in it."""
    command = {
        "apiVersion": "client.authentication.k8s.io/v1beta1",
        "command": "aws",
        "args": ["--region", region, "eks", "get-token", "--cluster-name", name, "--output", "json"],
        "interactiveMode": "Never",
    }
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": endpoint, "certificate-authority-data": authority}}],
        "users": [{"name": name, "user": {"exec": command}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    return json.dumps(config)


def build(environment: str, settings: ArgoCdSettings, cluster: pulumi.ProviderResource) -> None:
    namespaces = [_namespace(name, level, cluster) for name, level in LEVELS.items()]
    enforcing = k8s.core.v1.ConfigMap(
        "network-policies",
        # Auto Mode takes NetworkPolicies without enforcing them until this is there (EKS user guide, "Use Network
        # Policies with EKS Auto Mode"); the node class that it comes with then follows them.
        metadata=k8s.meta.v1.ObjectMetaArgs(name="amazon-vpc-cni", namespace="kube-system"),
        data={"enable-network-policy-controller": "true"},
        opts=_in(cluster),
    )
    release = k8s.helm.v3.Release(
        "argocd",
        name="argocd",
        namespace=argocd.NAMESPACE,
        chart=argocd.CHART,
        version=argocd.CHART_VERSION,
        repository_opts=k8s.helm.v3.RepositoryOptsArgs(repo=argocd.REPOSITORY),
        values=argocd.values(),
        # What does not come up is taken back.
        atomic=True,
        timeout=600,
        max_history=5,
        opts=_in(cluster, [*namespaces, enforcing]),
    )
    project = k8s.apiextensions.CustomResource(
        "root-project",
        api_version="argoproj.io/v1alpha1",
        kind="AppProject",
        metadata={"name": argocd.ROOT, "namespace": argocd.NAMESPACE},
        spec=argocd.root_project_spec(settings),
        # Its kind comes with the chart.
        opts=_in(cluster, [release]),
    )
    k8s.apiextensions.CustomResource(
        "root",
        api_version="argoproj.io/v1alpha1",
        kind="Application",
        metadata=argocd.root_metadata(environment),
        spec=argocd.root_spec(settings, environment),
        opts=_in(cluster, [release, project]),
    )


def _namespace(name: str, level: str, cluster: pulumi.ProviderResource) -> k8s.core.v1.Namespace:
    modes = {"enforce": level, "audit": "restricted", "warn": "restricted"}
    return k8s.core.v1.Namespace(
        name,
        metadata=k8s.meta.v1.ObjectMetaArgs(
            name=name, labels={f"pod-security.kubernetes.io/{mode}": each for mode, each in modes.items()}
        ),
        # With a namespace goes all that runs in it.
        opts=pulumi.ResourceOptions.merge(_in(cluster), pulumi.ResourceOptions(protect=True)),
    )


def _in(cluster: pulumi.ProviderResource, after: Sequence[pulumi.Resource] = ()) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(provider=cluster, depends_on=list(after) or None)
