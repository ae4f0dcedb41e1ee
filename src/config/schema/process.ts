import { section, textOr } from './keys.ts'

export const processSchema = section('Process', 'As whom it runs, where root starts it.', {
  user: textOr(
    'name',
    'User',
    'User that root becomes once the ports are taken, by name or number; empty: it stays.',
    '',
  ),
  group: textOr('name', 'Group', 'Its group; empty: the one with the name or number of the user.', ''),
})
