// Where the meter is, and what opens it. Both stay in this browser.
import { useId, useState, type FormEvent } from "react";
import type { MeterPlace } from "../../meter/client";
import { isReadableOnTheWay, isToken, meterUrl } from "../../meter/known";
import { useDeployment } from "../../state/deployment";

interface FormProps {
  before: MeterPlace | null;
  onUse(place: MeterPlace): void;
  onCancel: (() => void) | null;
}

export function MeterForm({ before, onUse, onCancel }: FormProps) {
  const { meter } = useDeployment().deployment;
  const [url, setUrl] = useState(before?.url ?? "");
  const [token, setToken] = useState("");
  const [errors, setErrors] = useState<{ url?: string; token?: string }>({});
  const wanted = meterUrl(url);
  const use = (event: FormEvent<HTMLFormElement>): void => {
    event.preventDefault();
    const wrong = {
      ...(wanted ? {} : { url: "A meter's address begins with https:// or http://, as https://meter.example." }),
      ...(isToken(token.trim()) ? {} : { token: "An admin token has at least 16 letters, digits or signs." }),
    };
    setErrors(wrong);
    if (wrong.url || wrong.token) event.currentTarget.querySelector<HTMLInputElement>(`[name=${wrong.url ? "meter-url" : "meter-token"}]`)?.focus();
    else onUse({ url: wanted, token: token.trim() });
  };
  const isOffered = meter !== null && meterUrl(meter.url) !== "" && isToken(meter.adminToken);
  return (
    <>
      <p className="small-text">
        The meter knows what the chain does not: what is not settled yet, every request, and why one was refused. Its address and admin token stay in
        this browser, and the token is sent to that address alone.
      </p>
      {isOffered && (
        <p><button type="button" className="button primary" onClick={() => onUse({ url: meterUrl(meter.url), token: meter.adminToken })}>Use the demo's meter</button></p>
      )}
      <form onSubmit={use} noValidate className="form" autoComplete="off">
        <Field name="meter-url" label="Address of the meter" type="url" value={url} onChange={setUrl} error={errors.url}
          hint={wanted && isReadableOnTheWay(wanted) ? "Not encrypted: whoever is between here and there can read the token. Use an address with https://." : ""} />
        <Field name="meter-token" label="Admin token" type="password" value={token} onChange={setToken} error={errors.token} hint="" />
        <div className="actions">
          <button type="submit" className={`button ${isOffered ? "" : "primary"}`}>Use this meter</button>
          {onCancel && <button type="button" className="button" onClick={onCancel}>Cancel</button>}
        </div>
      </form>
    </>
  );
}

interface FieldProps {
  name: string;
  label: string;
  type: "url" | "password";
  value: string;
  onChange(text: string): void;
  error: string | undefined;
  hint: string;
}

function Field({ name, label, type, value, onChange, error, hint }: FieldProps) {
  const id = useId();
  return (
    <div className={`field ${error ? "has-error" : ""}`}>
      <label htmlFor={id}>{label}</label>
      <span className="input">
        <input id={id} name={name} type={type} value={value} onChange={({ target }) => onChange(target.value)} className="mono" autoComplete="off" autoCapitalize="off" spellCheck={false}
          aria-invalid={Boolean(error)} aria-describedby={`${id}-about`} />
      </span>
      <span id={`${id}-about`}>
        {hint && <span className="hint meter-warning" role="status">{hint} </span>}
        {error && <span className="error">{error}</span>}
      </span>
    </div>
  );
}
