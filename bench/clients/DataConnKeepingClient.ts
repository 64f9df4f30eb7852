/**
 * DataConn's own client, as one uses it that may keep chunks.
 */
import * as DataConnClients from "../support/DataConnClients.ts"

await DataConnClients.main("kept")
