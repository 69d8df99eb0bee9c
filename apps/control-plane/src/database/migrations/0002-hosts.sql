-- The team whose keys open what belongs to the platform and not to a team: its hosts.
ALTER TABLE teams ADD COLUMN platform boolean NOT NULL DEFAULT false;
CREATE UNIQUE INDEX teams_platform ON teams (platform) WHERE platform;
UPDATE teams SET platform = true WHERE id = (
  SELECT members.team_id FROM team_members AS members JOIN users ON users.id = members.user_id
  WHERE members.role = 'owner' ORDER BY members.created_at, users.id LIMIT 1
);

-- The platform's certificate authority: one, made by the first control plane that starts.
CREATE TABLE platform_authority (
  singleton       boolean     PRIMARY KEY DEFAULT true CHECK (singleton),
  certificate_pem text        NOT NULL,
  -- PKCS #8, sealed with AES-256-GCM under the encryption key, which is not in the database.
  sealed_key      bytea       NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now()
);

-- Control planes that live, and when each was last heard of: an operation of one that does not is nobody's.
CREATE TABLE control_planes (
  id         text        PRIMARY KEY,
  started_at timestamptz NOT NULL DEFAULT now(),
  seen_at    timestamptz NOT NULL DEFAULT now()
);

-- Hosts of before had no identity, and their capsules ended with their agents. Each registers anew.
UPDATE capsules SET state = 'stopped', reason = 'destroyed', host_id = NULL WHERE state IN ('stopping', 'stopped');
UPDATE capsules SET state = 'error', reason = coalesce(reason, 'lost'), host_id = NULL WHERE state <> 'stopped';
DELETE FROM hosts;

ALTER TABLE hosts
  ALTER COLUMN address DROP NOT NULL,
  -- Who answers at an address is proven by its certificate. Machines inherit addresses of others.
  DROP CONSTRAINT hosts_address_key,
  ADD COLUMN type             text    NOT NULL DEFAULT 'regular' CHECK (type IN ('regular')),
  -- Whether the agent at the address has proven to be this host.
  ADD COLUMN address_verified boolean NOT NULL DEFAULT false,
  ADD COLUMN arch             text,
  ADD COLUMN cpu_cores        integer,
  ADD COLUMN memory_mib       integer,
  ADD COLUMN disk_gib         integer,
  ADD COLUMN agent_version    text,
  ADD COLUMN token_hash       bytea   UNIQUE CHECK (octet_length(token_hash) = 32),
  ADD COLUMN registered_at    timestamptz,
  -- Up to where the host's changes are known. Without a revision a full report is wanted.
  ADD COLUMN report_epoch     bigint,
  ADD COLUMN report_revision  bigint,
  ADD COLUMN last_report_at   timestamptz,
  -- Why the host gets no capsules although it reports.
  ADD COLUMN problem          text;

CREATE TABLE registration_tokens (
  token_hash bytea       PRIMARY KEY CHECK (octet_length(token_hash) = 32),
  host_id    text        NOT NULL REFERENCES hosts ON DELETE CASCADE,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  used_at    timestamptz
);
CREATE INDEX registration_tokens_host ON registration_tokens (host_id);

-- What led to an error, for a person.
ALTER TABLE capsules ADD COLUMN detail text;

-- Which control plane works on a capsule that is pending, starting or stopping.
ALTER TABLE capsules ADD COLUMN operated_by text;
-- What the settler looks for.
CREATE INDEX capsules_unsettled ON capsules (updated_at) WHERE state IN ('pending', 'starting', 'stopping');
