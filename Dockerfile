# syntax=docker/dockerfile:1
# The steps of the Makefile: a virtual environment, uv, every distribution built, then installed without sources.
FROM python:3.13-slim AS build
WORKDIR /src
RUN python -m venv /opt/studio && /opt/studio/bin/pip install --no-cache-dir uv
COPY . .
# Which plugins the image holds; private ones come from an index whose credentials stay in this stage's secret.
ARG PLUGINS="activity asset_gen auth console free projects rbac socketio sse stories streaq workbench providers/local"
RUN --mount=type=secret,id=pip_conf,target=/etc/pip.conf \
    /opt/studio/bin/uv build --all-packages --wheel --out-dir /wheels && \
    dists="studio-backend" && \
    for plugin in $PLUGINS; do dists="$dists $(sed -n 's/^name = "\(.*\)"/\1/p' plugins/$plugin/pyproject.toml | head -1)"; done && \
    /opt/studio/bin/uv pip install --python /opt/studio/bin/python --constraints constraints.txt --find-links /wheels \
      $dists 'studio-provider-local[media]' && \
    /opt/studio/bin/pip uninstall -y uv pip

FROM python:3.13-slim
LABEL org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --system --uid 10001 --home /srv/studio --create-home studio
COPY --from=build /opt/studio /opt/studio
COPY config /srv/studio/config
WORKDIR /srv/studio
USER studio
ENV PATH=/opt/studio/bin:$PATH STUDIO_ENV=preview STUDIO_SERVER__HOST=0.0.0.0 PYTHONUNBUFFERED=1
EXPOSE 8081
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8081/healthz', timeout=2)"]
CMD ["studio", "serve"]
