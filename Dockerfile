# The images of both sides. `train` is the last stage and so what a build without --target makes; `serve` is the
# inference image, and `serve-with-model` that one with a bundle in it (--build-context model=<folder of a bundle>).
#
# Builders may give: BASE, COMMIT, SOURCE, CREATED, SOURCE_DATE_EPOCH, and as secrets `pip` (a pip.conf) and `ca` (the
# certificates, which it names as /run/secrets/ca) where packages come through an index of one's own. Neither ends in a layer.

# A tag by default, so that anyone can build. What is to be deployed gets its base by digest: --build-arg BASE=...@sha256:...
# Any Debian-like image will do whose python3 has venv.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS code
# Compiled by hash and not by time: the same bytes at every build, and no look at the source at every start.
ENV COMPILE="python3 -m compileall -q --invalidation-mode unchecked-hash"
COPY LICENSE /app/
COPY service /app/service
RUN $COMPILE /app && chmod -R a+rX,go-w /app

FROM code AS train-code
COPY training /app/training
RUN $COMPILE /app/training && chmod -R a+rX,go-w /app/training

FROM ${BASE} AS libraries
# The working folder is not searched for modules: it may be one that others write to.
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
STOPSIGNAL SIGTERM
# The pip that installs has an environment of its own, which goes with the step, and so do the secrets.
COPY requirements/service.txt /opt/venv/
RUN --mount=type=secret,id=pip --mount=type=secret,id=ca \
    python3 -m venv /tmp/pip && python3 -m venv --without-pip /opt/venv \
    && PIP_CONFIG_FILE=/run/secrets/pip /tmp/pip/bin/pip --python /opt/venv/bin/python install \
        --no-cache-dir --no-compile --no-deps --require-hashes --only-binary=:all: --disable-pip-version-check \
        -r /opt/venv/service.txt \
    && rm -r /tmp/pip && find /opt/venv -type d -name tests -prune -exec rm -r {} + \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/venv

FROM libraries AS serve
# The base's own installers are of no use to what runs here: neither shall they be to an intruder.
RUN rm -rf /usr/local/lib/python3*/site-packages/* /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* \
        /usr/lib/python3*/ensurepip /usr/share/python-wheels
COPY --from=code /app /app
# A number, because Kubernetes can only prove of a number that it is not root's.
USER 10001:10001
WORKDIR /app
ENV PODIUM_HOST=0.0.0.0
EXPOSE 8000
ENTRYPOINT ["python", "-m", "service"]
CMD ["serve"]
ARG COMMIT SOURCE CREATED
ENV PODIUM_COMMIT=$COMMIT
LABEL org.opencontainers.image.title="podium-serve" org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.revision=$COMMIT org.opencontainers.image.source=$SOURCE \
    org.opencontainers.image.created=$CREATED

# Stands in for the build context of this name, so that the other targets can be built without one.
FROM scratch AS model

FROM serve AS serve-with-model
# Readable for the service's user, whatever the folder's modes are here.
COPY --from=model --chmod=0555 . /opt/bundle
# A bundle that is not whole, or that scores otherwise here than where it was published, makes no image.
RUN ["python", "-m", "service", "verify", "/opt/bundle"]
ENV PODIUM_MODEL=/opt/bundle

FROM libraries AS train
COPY requirements/training.txt /opt/venv/
RUN --mount=type=secret,id=pip --mount=type=secret,id=ca \
    python3 -m venv /tmp/pip \
    && PIP_CONFIG_FILE=/run/secrets/pip /tmp/pip/bin/pip --python /opt/venv/bin/python install \
        --no-cache-dir --no-compile --no-deps --require-hashes --only-binary=:all: --disable-pip-version-check \
        -r /opt/venv/training.txt \
    && rm -r /tmp/pip && find /opt/venv -type d -name tests -prune -exec rm -r {} + \
    && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/venv
COPY --from=train-code /app /app
# SageMaker runs `docker run IMAGE train`, or a program of that name where the entry point is another.
RUN printf '#!/bin/sh\nexec python -m training train "$@"\n' > /opt/venv/bin/train && chmod 755 /opt/venv/bin/train
# No USER, so root: SageMaker mounts /opt/ml as root's and says that images must be able to write there. The container is
# the job's alone, lives as long as it does, listens nowhere and needs no network (EnableNetworkIsolation).
WORKDIR /work
ENTRYPOINT ["python", "-m", "training"]
ARG COMMIT SOURCE CREATED SOURCE_DATE_EPOCH
# A model's version starts with the date of the commit, which no git is here to tell.
ENV PODIUM_COMMIT=$COMMIT SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH
LABEL org.opencontainers.image.title="podium-train" org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.revision=$COMMIT org.opencontainers.image.source=$SOURCE \
    org.opencontainers.image.created=$CREATED
