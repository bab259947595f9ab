"""Why a training job could not be started, followed or fetched. Each kind has an exit code of its own."""

from __future__ import annotations


class JobError(Exception):
    """A job that could not be started, followed or fetched; the message says what to do."""

    exit_code = 3


class JobSettingsError(JobError, ValueError):
    """A setting or a hyperparameter that is missing or not allowed."""

    exit_code = 2


class NoSuchJob(JobError):
    pass


class JobClash(JobError):
    """A job of this name exists, and attaching to it is not what was asked for."""

    exit_code = 4


class AwsUnavailable(JobError):
    """AWS is out of reach."""

    exit_code = 5


class AwsDenied(AwsUnavailable):
    """Time does not heal it."""


class JobFailed(JobError):
    exit_code = 6


class JobStopped(JobError):
    """By a person, or by a limit of time."""

    exit_code = 7


class NoInstances(JobError):
    """A quota of the account, or no machine of that kind left in the region."""

    exit_code = 8
