// Goes to another account: one's own, or one that the deployment names.
import { useDeployment } from "../state/deployment";
import { go, useLocation } from "../state/location";
import { useSigner } from "../state/signing";

export function AccountPicker() {
  const { known, viewOf } = useDeployment();
  const { location } = useLocation();
  const { signer } = useSigner();
  const own = signer.kind === "none" ? "" : signer.address;
  if (known.length === 0) return null;
  const isKnown = location.account !== "" && (location.account === own || known.some((each) => each.address.toLowerCase() === location.account));
  return (
    <label className="inline-field">
      <span className="visually-hidden">Account to look at</span>
      <select value={location.account} onChange={({ target }) => go({ account: target.value, ...(target.value === own ? {} : { view: viewOf(target.value) }) })}>
        {!isKnown && <option value={location.account}>{location.account ? "Another account" : "Choose an account"}</option>}
        {own && <option value={own}>My account</option>}
        {[...new Set(known.map((each) => each.role))].map((role) => (
          <optgroup key={role} label={`${role.charAt(0).toUpperCase()}${role.slice(1)}s`}>
            {known.filter((each) => each.role === role && each.address.toLowerCase() !== own).map((each) => <option key={each.address} value={each.address.toLowerCase()}>{each.name}</option>)}
          </optgroup>
        ))}
      </select>
    </label>
  );
}
