import { Type } from '@sinclair/typebox'
import { certificate, flag, given, listen, text } from './keys.ts'

export const ADMIN_PORT = 9464

export const adminSchema = given(
  'Admin',
  'The listener for operators: metrics, health, version. Without this section, `serve` and `lab` open it at 127.0.0.1:9464, or at any free port where that one is taken.',
  {
    enabled: flag('Enabled', 'Whether there is one.', true),
    ...listen(ADMIN_PORT),
    tls: Type.Optional(
      given('TLS', 'With it the listener speaks TLS, and clients need a certificate.', {
        ...certificate,
        clientCaFile: text('file', 'Client CA', 'PEM file with the CAs that issue the certificates of operators.'),
      }),
    ),
    insecurePlain: flag(
      'Without TLS',
      'Whether it may go without TLS where more than this host reaches it; whoever does then reads all of it.',
      false,
    ),
  },
)
