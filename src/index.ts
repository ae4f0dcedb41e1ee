// What embedders and test authors may import; everything else may change without notice.
export { type App, type AppParts, type Listener, startApp } from './app.ts'
export { ConfigError } from './config/config-error.ts'
export { configOf, loadConfig, parseConfig } from './config/load.ts'
export type { Config } from './config/schema.ts'
export { FAULTS, type FaultCode, GbaError } from './errors.ts'
export { UeError, type UeFaultCode } from './ue/fault.ts'
export {
  createUe,
  type Ue,
  type UeBootstrap,
  type UeClientCertificate,
  type UeCredentials,
  type UeOptions,
  type UePskOptions,
  type UeRequestOptions,
  type UeResponse,
} from './ue/flow.ts'
export { loadSim, parseSim, type Sim } from './ue/sim.ts'
