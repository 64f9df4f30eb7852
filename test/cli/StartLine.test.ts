import { assert, it } from "@effect/vitest"
import * as ServeConfig from "../../src/cli/ServeConfig.ts"
import * as StartLine from "../../src/cli/StartLine.ts"
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
