import { join } from "node:path";

/** What lies in the directory of an embedded PostgreSQL. */
export interface Layout {
  readonly dir: string;
  /** The cluster; absent until it is complete. */
  readonly data: string;
  /** Password of both roles, 0600. */
  readonly password: string;
  /** Port of the last start, so that connection strings stay valid over restarts. */
  readonly port: string;
  /** Library links that the npm package lacks; see {@link findBinaries}. */
  readonly libraries: string;
  /** PostgreSQL's own files, unpacked by a program that carries them. */
  readonly programs: string;
}

export function layoutOf(dir: string): Layout {
  return {
    dir,
    data: join(dir, "data"),
    password: join(dir, "password"),
    port: join(dir, "port"),
    libraries: join(dir, "lib"),
    programs: join(dir, "programs"),
  };
}
