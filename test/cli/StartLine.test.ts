import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as ServeConfig from "../../src/cli/ServeConfig.ts"
import * as ServerLog from "../../src/cli/ServerLog.ts"
import * as StartLine from "../../src/cli/StartLine.ts"
import * as Address from "../../src/net/Address.ts"
import * as ServerConfig from "../../src/server/ServerConfig.ts"
import * as Setting from "../../src/server/Setting.ts"

it("a server says where it speaks HTTP, among the settings that are not by default", () => {
  const config: ServeConfig.ServeConfig = {
    ...Setting.defaults(ServeConfig.all),
    listen: ServerConfig.defaultListen,
    tables: {},
    http: []
  }
  assert.match(StartLine.describe(config).text, /all settings by default$/)
  const { fields, text } = StartLine.describe({ ...config, http: ["127.0.0.1:8080", "unix:/a"] })
  assert.match(text, /settings: http 127\.0\.0\.1:8080 unix:\/a$/)
  assert.deepStrictEqual(fields["settings"], { http: "127.0.0.1:8080 unix:/a" })
})

it.effect.each([
  ["info", ["Started"]],
  ["warn", ["Opening HTTP socket on 127.0.0.1:1...", "Started"]],
  ["error", []]
] as const)("the lines of the start, with the level %s", ([level, expected]) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => void lines.push(String([message].flat()[0])))
    yield* Effect.andThen(
      ServerLog.opened("HTTP", [Address.tcp("127.0.0.1", 1)]),
      ServerLog.step("Started")
    ).pipe(ServerLog.from(level), Effect.provide(Logger.layer([logger])))
    assert.deepStrictEqual(lines, [...expected])
  })
)
