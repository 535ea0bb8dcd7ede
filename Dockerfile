# Two stages: the locked dependencies and the package in a virtual environment, then only that on a slim base.
FROM python:3.12-slim AS build
WORKDIR /src
RUN python -m venv /venv
COPY requirements.lock .
RUN /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY service service
RUN /venv/bin/pip install --no-cache-dir --no-deps .

FROM python:3.12-slim
LABEL org.opencontainers.image.title="paramedic" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --no-create-home paramedic && install -d -o paramedic /var/lib/paramedic
COPY --from=build /venv /venv
WORKDIR /etc/paramedic
COPY rules/causes.yaml rules/quick.yaml rules/
COPY rules/playbooks rules/playbooks
COPY rules/known-good rules/known-good
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    PARAMEDIC_INTAKE__HOST=0.0.0.0 \
    PARAMEDIC_STORE__URL=sqlite:////var/lib/paramedic/paramedic.db
USER 10001
VOLUME /var/lib/paramedic
EXPOSE 9095
ENTRYPOINT ["paramedic"]
CMD ["serve"]
