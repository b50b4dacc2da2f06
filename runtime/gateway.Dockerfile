# Easel's gateway. Results are kept in /var/lib/easel: mount a volume that user 65532 may write to.
#
#     docker build --file runtime/gateway.Dockerfile --tag easel-gateway:VERSION .
#
# in the root of the repository. Behind a mirror: --build-arg PIP_INDEX_URL=URL. Offline: PIP_NO_INDEX=1 and
# PIP_FIND_LINKS=FOLDER of wheels, mounted into the build.

ARG BASE=python:3.11-slim-bookworm

# Bytecode is made here, since a read-only root keeps none, and never checked, since files of an image do not change.
FROM ${BASE} AS code
COPY crds/easel_crds /opt/easel/src/easel_crds
COPY operator/easel_kube /opt/easel/src/easel_kube
COPY runtime/easel_http /opt/easel/src/easel_http
COPY runtime/easel_gateway /opt/easel/src/easel_gateway
RUN chmod -R a+rX /opt/easel/src && python3 -m compileall -q --invalidation-mode unchecked-hash /opt/easel/src \
    && mkdir /empty

FROM ${BASE}
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
COPY requirements/gateway.txt /opt/easel/requirements.txt
RUN python3 -m venv --without-pip /opt/easel \
    && python3 -m pip --python /opt/easel/bin/python install --no-cache-dir --no-deps --require-hashes \
        --requirement /opt/easel/requirements.txt \
    && echo /opt/easel/src > "$(echo /opt/easel/lib/python3.*/site-packages)/easel.pth"
COPY --from=code /opt/easel/src /opt/easel/src
COPY --from=code --chown=65532:65532 /empty /var/lib/easel
COPY LICENSE /opt/easel/LICENSE
# USER has no name in /etc/passwd; programs that want one find it in the environment.
ENV HOME=/tmp USER=easel
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/opt/easel/bin/python", "-m", "easel_gateway"]
ARG VERSION=dev
LABEL org.opencontainers.image.title="easel-gateway" \
    org.opencontainers.image.description="One HTTP address for all image-to-image models of a cluster" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.licenses="Apache-2.0"
