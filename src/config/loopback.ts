/** Whether only this host reaches who listens there: an address of 127.0.0.0/8, ::1, or localhost. */
export const isLoopback = (host: string): boolean =>
  /^127(?:\.\d{1,3}){3}$/.test(host) || host === '::1' || host.toLowerCase() === 'localhost'
