FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY mqjobs mqjobs
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.13-slim
RUN useradd --create-home --uid 10001 mqjobs
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir "$(echo /wheels/*.whl)[metrics,speed]" && rm -r /wheels
WORKDIR /app
COPY topics topics
COPY consumers consumers
USER mqjobs
ENV PYTHONUNBUFFERED=1
ENTRYPOINT ["mqjobs"]
CMD ["consume", "--app", "consumers:app"]
