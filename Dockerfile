# The images of both sides. `train` is the last stage and so what a build without --target makes; `serve` is the
# inference image, and `serve-with-model` that one with a bundle in it (--build-context model=<folder of a bundle>).
#
# Builders may give: BASE, COMMIT, SOURCE, CREATED, SOURCE_DATE_EPOCH, and as secrets `pip` (a pip.conf) and `ca` (the
# certificates it may name as /run/ca.crt) where packages come through an index of one's own. Neither ends in a layer.

# A tag by default, so that anyone can build. What is to be deployed gets its base by digest: --build-arg BASE=...@sha256:...
# Any Debian-like image will do whose python3 has venv.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
# pip has an environment of its own, so that nothing has to take it out of the one that is shipped.
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/venv
# Compiled by hash and not by time: the same bytes at every build, and no look at the source at every start.
ENV COMPILE="python3 -m compileall -q --invalidation-mode unchecked-hash"
WORKDIR /build

FROM build AS serve-libraries
COPY requirements/service.txt .
RUN --mount=type=secret,id=pip,target=/etc/pip.conf,required=false \
    --mount=type=secret,id=ca,target=/run/ca.crt,required=false \
    /opt/pip/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --no-deps --require-hashes \
        --only-binary=:all: --disable-pip-version-check -r service.txt \
    && find /opt/venv -type d -name tests -prune -exec rm -r {} + \
    && $COMPILE /opt/venv

FROM build AS serve-code
COPY LICENSE /app/
COPY service /app/service
RUN $COMPILE /app && chmod -R a+rX,go-w /app

FROM serve-libraries AS train-libraries
COPY requirements/training.txt .
RUN --mount=type=secret,id=pip,target=/etc/pip.conf,required=false \
    --mount=type=secret,id=ca,target=/run/ca.crt,required=false \
    /opt/pip/bin/pip --python /opt/venv/bin/python install --no-cache-dir --no-compile --no-deps --require-hashes \
        --only-binary=:all: --disable-pip-version-check -r training.txt \
    && find /opt/venv -type d -name tests -prune -exec rm -r {} + \
    && $COMPILE /opt/venv

FROM serve-code AS train-code
COPY training /app/training
RUN $COMPILE /app && chmod -R a+rX,go-w /app

FROM ${BASE} AS runtime
# What installs packages is the base's, and nothing that runs here needs it: neither should an intruder find it.
RUN rm -rf /usr/local/lib/python3*/site-packages/* /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* \
        /usr/lib/python3*/ensurepip /usr/share/python-wheels
# The working folder is not searched for modules: it may be one that others write to.
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONSAFEPATH=1 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
STOPSIGNAL SIGTERM

FROM runtime AS serve
COPY --from=serve-libraries /opt/venv /opt/venv
COPY --from=serve-code /app /app
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

FROM runtime AS train
COPY --from=train-libraries /opt/venv /opt/venv
COPY --from=train-code /app /app
# No USER: SageMaker mounts the folders it reads the result from as root's.
WORKDIR /work
ENTRYPOINT ["python", "-m", "training"]
ARG COMMIT SOURCE CREATED SOURCE_DATE_EPOCH
# A model's version starts with the date of the commit, which no git is here to tell.
ENV PODIUM_COMMIT=$COMMIT SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH
LABEL org.opencontainers.image.title="podium-train" org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.revision=$COMMIT org.opencontainers.image.source=$SOURCE \
    org.opencontainers.image.created=$CREATED
