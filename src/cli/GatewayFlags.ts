/**
 * Flags that `dataconn gateway` and `dataconn serve` share.
 */
import * as Flag from "effect/cli/Flag"

export const http = Flag.String("http").pipe(
  Flag.withMetavar("address"),
  Flag.withDescription(
    "Where to speak HTTP: HOST:PORT, [IPv6]:PORT or unix:PATH; may be given several times."
  ),
  Flag.atLeast(0)
)
