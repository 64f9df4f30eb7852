/**
 * Recommended environment of a process that runs DuckDB. Both variables are read once: the first at the first
 * use of libuv's pool, the other when DuckDB is loaded.
 */
export const defaults: Readonly<Record<string, string>> = {
  /** DuckDB holds one of libuv's threads while it fetches a result. */
  UV_THREADPOOL_SIZE: "64",
  /**
   * How long DuckDB's allocator keeps free memory. By default it returns after a second the memory that a
   * stream frees with each chunk and needs again for a later one. The allocator also does not retain the
   * addresses of returned memory. They count towards the limit of a process (`engineMemory`), so one large
   * result would leave no room for others.
   */
  DUCKDB_JE_MALLOC_CONF: "dirty_decay_ms:10000,retain:false"
}
