/**
 * What a process that runs DuckDB should have in its environment. Both are read once: the first when anything
 * uses libuv's pool, the other when DuckDB is loaded.
 */
export const defaults: Readonly<Record<string, string>> = {
  /** DuckDB holds one of libuv's threads for each result that is being fetched. */
  UV_THREADPOOL_SIZE: "64",
  /**
   * How long DuckDB's allocator keeps memory that is free: it would give back after a second what a stream
   * frees with each chunk and takes again for a later one. Nor does it keep the addresses of what it gave back: they
   * count towards the limit of a process (`engineMemory`), so that one large result would leave no room for others.
   */
  DUCKDB_JE_MALLOC_CONF: "dirty_decay_ms:10000,retain:false"
}
