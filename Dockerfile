# R, Python and both packages, on Debian 13. Not built where it was written: no Docker daemon was there.
#     docker build -t transst .
#     docker run --rm -v "$PWD":/work -w /work transst transst fit target.h5ad ...
#     docker run --rm -it -v "$PWD":/work -w /work transst R
FROM debian:trixie-slim

ENV LANG=C.UTF-8 TRANSST_ENVIRONMENT=/opt/transst
ENV R_LIBS=/opt/transst/library RETICULATE_PYTHON=/opt/transst/venv/bin/python PATH=/opt/transst/venv/bin:$PATH

# The same list as tools/setup.sh, and what a Python of Debian's lacks for a virtual environment that R can load.
COPY tools/debian-packages.txt /tmp/
RUN apt-get update \
    && grep -v '^#' /tmp/debian-packages.txt \
    | xargs apt-get install -y --no-install-recommends python3-venv python3-dev libpython3.13 ca-certificates \
    && rm -rf /var/lib/apt/lists/*

COPY . /usr/src/transst
RUN make -C /usr/src/transst setup && rm -rf /root/.cache/pip
