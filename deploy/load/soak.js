// Two hundred people for long: what grows that should not? An hour or more is meant; DURATION says how long.
import { act, optionsFor, setup, share, handleSummary } from './people.js';

export const options = optionsFor([
  { duration: share(0.1, 3600), target: 200 }, { duration: share(0.9, 3600), target: 200 },
]);
export { setup, handleSummary };
export default act;
