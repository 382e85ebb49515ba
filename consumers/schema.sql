-- The documentation index: one row per docstring, and what the index holds of each collection.

CREATE SCHEMA IF NOT EXISTS search;

-- words: names weigh most, with the parts of dotted, snake_case and CamelCase names beside the
-- whole. A tsvector holds 1 MB at most, so very long docstrings are searched by their beginning.
CREATE TABLE IF NOT EXISTS search.document (
    collection text NOT NULL,
    module text NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    signature text NOT NULL,
    docstring text NOT NULL,
    path text NOT NULL,
    line integer NOT NULL,
    words tsvector NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('english', translate(module || ' ' || name, '._', '  ')), 'A')
        || setweight(to_tsvector('english', regexp_replace(
               translate(module || ' ' || name, '._', '  '),
               '([a-z0-9])([A-Z])|([A-Z])(?=[A-Z][a-z])', '\1\3 \2', 'g')), 'A')
        || setweight(to_tsvector('english', split_part(left(docstring, 100000), E'\n\n', 1)), 'B')
        || setweight(to_tsvector('english', left(docstring, 100000)), 'C')
        || setweight(to_tsvector('english', left(signature, 10000)), 'D')
    ) STORED,
    PRIMARY KEY (collection, module, name)
);

CREATE INDEX IF NOT EXISTS document_words ON search.document USING gin (words);

CREATE TABLE IF NOT EXISTS search.statistics (
    collection text PRIMARY KEY,
    modules integer NOT NULL,
    documents integer NOT NULL,
    classes integer NOT NULL,
    functions integer NOT NULL,
    refreshed_at timestamptz NOT NULL
);
