CREATE TABLE users (
  id            text        PRIMARY KEY,
  email         text        NOT NULL,
  password_hash text        NOT NULL,
  created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_email ON users (lower(email));

CREATE TABLE teams (
  id         text        PRIMARY KEY,
  name       text        NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE team_members (
  team_id    text        NOT NULL REFERENCES teams ON DELETE CASCADE,
  user_id    text        NOT NULL REFERENCES users ON DELETE CASCADE,
  role       text        NOT NULL CHECK (role IN ('owner', 'admin', 'member')),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (team_id, user_id)
);
CREATE INDEX team_members_user ON team_members (user_id);

CREATE TABLE api_keys (
  id           text        PRIMARY KEY,
  team_id      text        NOT NULL REFERENCES teams ON DELETE CASCADE,
  created_by   text        REFERENCES users ON DELETE SET NULL,
  name         text        NOT NULL,
  key_hash     bytea       NOT NULL UNIQUE CHECK (octet_length(key_hash) = 32),
  created_at   timestamptz NOT NULL DEFAULT now(),
  last_used_at timestamptz
);
CREATE INDEX api_keys_team ON api_keys (team_id);

CREATE TABLE hosts (
  id         text        PRIMARY KEY,
  address    text        NOT NULL UNIQUE,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
);

-- Teams and hosts with capsules cannot be removed: something would run that no row knows.
CREATE TABLE capsules (
  id             text        PRIMARY KEY,
  team_id        text        NOT NULL REFERENCES teams,
  host_id        text        REFERENCES hosts,
  template       text        NOT NULL,
  vcpus          integer     NOT NULL CHECK (vcpus > 0),
  memory_mib     integer     NOT NULL CHECK (memory_mib > 0),
  timeout_sec    integer     NOT NULL CHECK (timeout_sec >= 0),
  state          text        NOT NULL CHECK (state IN (
                   'pending', 'starting', 'running', 'pausing', 'paused', 'resuming', 'snapshotting',
                   'hibernating', 'hibernated', 'stopping', 'stopped', 'error')),
  generation     bigint      NOT NULL CHECK (generation > 0),
  revision       bigint      NOT NULL DEFAULT 0,
  reason         text,
  versions       jsonb       NOT NULL DEFAULT '{}',
  created_at     timestamptz NOT NULL DEFAULT now(),
  started_at     timestamptz,
  last_active_at timestamptz,
  updated_at     timestamptz NOT NULL DEFAULT now(),
  CHECK (host_id IS NOT NULL OR state IN ('pending', 'stopping', 'stopped', 'error'))
);
-- The list of a team, newest first. Stopped capsules pile up and are in no list.
CREATE INDEX capsules_team ON capsules (team_id, created_at DESC, id DESC)
  WHERE state NOT IN ('stopping', 'stopped');
-- What the reconciler compares with a host's report.
CREATE INDEX capsules_host ON capsules (host_id) WHERE state NOT IN ('stopped', 'error');
