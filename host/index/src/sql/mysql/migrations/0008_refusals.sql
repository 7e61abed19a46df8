-- Savers and uploads that were refused for want of room. BuildKit is not told: its export would fail. Instead the index that it saves
-- in the end makes no entry, at whatever server it arrives.

CREATE TABLE refusals (
    tenant      VARBINARY(63)  NOT NULL,
    mark        VARBINARY(255) NOT NULL, -- the policy's text
    refused_ms  BIGINT         NOT NULL,
    PRIMARY KEY (tenant, mark),
    KEY refusals_by_age (tenant, refused_ms)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC;
