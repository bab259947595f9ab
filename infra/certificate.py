"""A certificate for the host name that rankings are served at: one that is there, or one proven by the zone."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from infra.component import Component
from infra.settings import DomainSettings
from infra.site import Site

# Resolvers keep the answer this long: short, so that a record that was wrong is not wrong for long.
TTL_SECONDS = 300


class Certificate(Component):
    """
    Outputs:
        arn: of the certificate, valid; None without a domain.
    """

    def __init__(
        self, name: str, site: Site, settings: DomainSettings, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(name, site, opts)
        self.arn: pulumi.Output[str] | None = None
        if settings.certificate is not None:
            self.arn = pulumi.Output.from_input(settings.certificate)
        elif settings.name is not None and settings.zone is not None:
            self.arn = self._proven(settings.name, settings.zone)
        self.register_outputs({"arn": self.arn})

    def _proven(self, domain: str, zone: str) -> pulumi.Output[str]:
        certificate = aws.acm.Certificate(
            "domain", domain_name=domain, validation_method="DNS", key_algorithm="EC_prime256v1", opts=self.below()
        )
        # One name, so one record; ACM looks for it again at each renewal.
        asked = certificate.domain_validation_options[0]
        record = aws.route53.Record(
            "domain-proof",
            zone_id=zone,
            name=asked.resource_record_name.apply(_present),
            type=asked.resource_record_type.apply(_present),
            records=[asked.resource_record_value.apply(_present)],
            ttl=TTL_SECONDS,
            opts=self.below(),
        )
        # What listens with a certificate must wait until it is valid, and takes its ARN from here.
        valid = aws.acm.CertificateValidation(
            "domain", certificate_arn=certificate.arn, validation_record_fqdns=[record.fqdn], opts=self.below()
        )
        return valid.certificate_arn


def _present(text: str | None) -> str:
    if text is None:
        raise ValueError("ACM named no record that would prove the domain")
    return text
