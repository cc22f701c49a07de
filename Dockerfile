# lexiseg on a CPU, weights inside: works with --network none.
#   docker build -t lexiseg .
#   docker run --rm --network none -v "$PWD:/work" lexiseg segment photo.jpg "red car"
FROM python:3.12-slim AS build
# PyTorch's CPU build alone: PyPI's brings CUDA, which is gigabytes.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY pyproject.toml constraints.txt README.md LICENSE NOTICE /src/
COPY src /src/src
RUN python -m venv /srv/lexiseg
RUN /srv/lexiseg/bin/pip install --no-cache-dir --disable-pip-version-check \
    -c /src/constraints.txt ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} --no-deps torch
RUN /srv/lexiseg/bin/pip install --no-cache-dir --disable-pip-version-check \
    -c /src/constraints.txt "/src[heif,serve,video]"

FROM python:3.12-slim
LABEL org.opencontainers.image.title="lexiseg" \
      org.opencontainers.image.licenses="Apache-2.0 AND LicenseRef-lexiseg-tiny-weights"
COPY --from=build /srv/lexiseg /srv/lexiseg
RUN useradd --create-home --uid 1000 lexiseg && mkdir -p /work /var/cache/lexiseg && chown lexiseg /work /var/cache/lexiseg
ENV PATH=/srv/lexiseg/bin:$PATH PYTHONUNBUFFERED=1 LEXISEG_CACHE=/var/cache/lexiseg
USER 1000
WORKDIR /work
EXPOSE 8008
# Of `serve` and `ui` alone: of other commands nothing listens, and nobody asks.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "-c", \
    "import urllib.request as u; u.urlopen('http://127.0.0.1:8008/healthz', timeout=4)"]
ENTRYPOINT ["lexiseg"]
CMD ["--help"]
