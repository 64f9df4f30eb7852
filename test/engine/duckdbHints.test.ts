import { assert, describe, it } from "@effect/vitest"
import * as Hints from "../../src/engine/duckdb/Hints.ts"

const out =
  "\n\nPossible solutions:\n* Reducing the number of threads (SET threads=X)\n" +
  "* Disabling insertion-order preservation (SET preserve_insertion_order=false)\n" +
  "* Increasing the memory limit (SET memory_limit='...GB')\n\n" +
  "See also https://duckdb.org/docs/stable/guides/performance/how_to_tune_workloads"

// As DuckDB 1.5 says it.
const cases: ReadonlyArray<[said: string, told: string]> = [
  [
    `failed to allocate data of size 16.0 MiB (50.3 MiB/57.2 MiB used)${out}`,
    "failed to allocate data of size 16.0 MiB (50.3 MiB/57.2 MiB used)\nThe server's operator can raise memoryLimit, by default a part of engineMemory."
  ],
  [
    `Failed to allocate block of 32768 bytes (bad allocation)${out}`,
    "Failed to allocate block of 32768 bytes (bad allocation)\nThe server's operator can raise engineMemory, which bounds its process."
  ],
  [
    "failed to offload data block of size 128.0 KiB (19.0 MiB/19.0 MiB used).\n" +
      "This limit was set by the 'max_temp_directory_size' setting.\n" +
      "By default, this setting utilizes the available disk space on the drive where the 'temp_directory' is located.\n" +
      `You can adjust this setting, by using (for example) PRAGMA max_temp_directory_size='10GiB'${out}`,
    "failed to offload data block of size 128.0 KiB (19.0 MiB/19.0 MiB used).\nThe server's operator can raise maxSpill, or make room on the disk of spillDirectory."
  ],
  [
    'Table Function with name "st_read" is not in the catalog, but it exists in the spatial extension.\n\n' +
      "Please try installing and loading the spatial extension:\nINSTALL spatial;\nLOAD spatial;\n\n",
    'Table Function with name "st_read" is not in the catalog, but it exists in the spatial extension.\n' +
      "This server does not load it."
  ],
  [
    'Type with name "INET" is not in the catalog, but it exists in the inet extension.\n\n' +
      "Please try installing and loading the inet extension by running:\nINSTALL inet;\nLOAD inet;\n\n" +
      "Alternatively, consider enabling auto-install and auto-load by running:\n" +
      "SET autoinstall_known_extensions=1;\nSET autoload_known_extensions=1;",
    'Type with name "INET" is not in the catalog, but it exists in the inet extension.\nThis server does not load it.'
  ],
  [
    'Max expression depth limit of 1000 exceeded. Use "SET max_expression_depth TO x" to increase the maximum expression depth.',
    "Max expression depth limit of 1000 exceeded."
  ],
  [
    "scalar subqueries can only return a single row.\n\n" +
      'Use "SET scalar_subquery_error_on_multiple_rows=false" to revert to previous behavior of returning a random row.',
    "scalar subqueries can only return a single row."
  ],
  [
    "ORDER BY non-integer literal has no effect.\n* SET order_by_non_integer_literal=true to allow this behavior.",
    "ORDER BY non-integer literal has no effect."
  ],
  [
    "CSV Error on Line: 30002\nOriginal Line: oops\nCould not convert string \"oops\" to 'BIGINT'\n\n" +
      "This type was auto-detected from the CSV file.\nPossible solutions:\n" +
      "* Set the sample size to a larger value to enable the auto-detection to scan more values, e.g., sample_size=-1\n\n" +
      "  file = t\n  delimiter = , (Auto-Detected)\n",
    "CSV Error on Line: 30002\nOriginal Line: oops\nCould not convert string \"oops\" to 'BIGINT'\n" +
      "This type was auto-detected from the CSV file.\nfile = t\n" +
      "Options of the file's reader may help; those of a served table are the server's operator's to set."
  ],
  [
    "Unknown encoding x. It is possible that the encoding exists in the encodings extension. " +
      'You can try "INSTALL encodings; LOAD encodings"',
    "Unknown encoding x. It is possible that the encoding exists in the encodings extension.\n" +
      "This server does not load it."
  ],
  [
    "Pivot column limit of 100000 exceeded. Use SET pivot_limit=X to increase the limit.",
    "Pivot column limit of 100000 exceeded."
  ],
  ['Parquet file. Consider explicitly "INSTALL parquet; LOAD parquet;" to support it', "Parquet file."]
]

describe("a message to a client", () => {
  it.each(cases)("has none of DuckDB's advice: %.40s", (said, told) => {
    assert.strictEqual(Hints.remove(said), told)
  })

  it.each([
    "Could not convert string 'SET x' to INT32",
    'syntax error at or near "LOAD"',
    'Table with name sets does not exist!\nDid you mean "pg_sets"?',
    "Please add explicit type casts.\n\tCandidate functions:\n\t+(DATE, INTEGER) -> DATE\n",
    "Use the TIMESTAMPTZ type to handle non-UTC timestamps."
  ])("is as it was without advice: %s", (said) => {
    assert.strictEqual(Hints.remove(said), said)
  })
})
