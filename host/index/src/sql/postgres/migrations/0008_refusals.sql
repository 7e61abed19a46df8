-- Savers and uploads that were refused for want of room. BuildKit is not told: its export would fail. Instead the index that it saves
-- in the end makes no entry, at whatever server it arrives.

CREATE TABLE refusals (
    tenant      bytea  NOT NULL,
    mark        bytea  NOT NULL, -- the policy's text
    refused_ms  bigint NOT NULL,
    PRIMARY KEY (tenant, mark)
);

CREATE INDEX refusals_by_age ON refusals (tenant, refused_ms);
