/**
 * A pool of DataConn's own client, as a service uses it that runs many queries at a time.
 */
import * as DataConnClients from "../support/DataConnClients.ts"

await DataConnClients.pool("released")
