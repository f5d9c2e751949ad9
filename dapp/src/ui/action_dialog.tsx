// The one dialog for all actions: fields, what will happen, and who signs.
import * as Dialog from "@radix-ui/react-dialog";
import { useCallback, useEffect, useId, useRef, useState, type FormEvent, type ReactNode } from "react";
import { lengthOf, type Action, type Field } from "../actions/action";
import { NodeError } from "../chain/rpc";
import { AmountError, atMostGen, editableGen, exactGen, exactWei, grouped, parseGen } from "../domain/amounts";
import { isAddress } from "../domain/names";
import { explain } from "../domain/refusals";
import { isStudio } from "../chain/networks";
import { useDeployment } from "../state/deployment";
import { usePlace } from "../state/place";
import { useBalance, useFee, useReadAnew, type Fee } from "../state/queries";
import { useSend } from "../state/sending";
import { useSigner, useSigningGuard } from "../state/signing";
import { Banner } from "./parts";
import { SignerLine } from "./signer_line";

interface ActionProps<About> {
  /** What the action is about, where that may change: an open dialog stays about what it was opened for. */
  about?: About;
  /** Made anew with every change of what the page shows, also while the dialog is open: its sums are never old. null: there is none. */
  make(about: About): Action | null;
}

interface ButtonProps {
  className?: string;
  disabled?: boolean;
  /** There may be nothing to press while what was opened is still open. */
  isThere?: boolean;
  children: ReactNode;
}

/** A button that opens the dialog of an action. */
export function ActionButton<About>({ about, make, isThere = true, ...button }: ActionProps<About> & ButtonProps) {
  return <DialogButton {...button} isThere={isThere && make(about as About) !== null} content={(close) => <Opened about={about} make={make} onDone={close} />} />;
}

function Opened<About>({ about, make, onDone }: ActionProps<About> & { onDone(): void }) {
  const [opened] = useState(() => about as About);
  const action = make(opened);
  const isGone = action === null;
  useEffect(() => { if (isGone) onDone(); }, [isGone, onDone]);
  return action && <ActionForm action={action} onDone={onDone} />;
}

interface DialogButtonProps extends ButtonProps {
  content(close: () => void): ReactNode;
}

/** A button that opens a dialog. Going back in the browser's history closes it. */
export function DialogButton({ content, className = "button small", disabled = false, isThere = true, children }: DialogButtonProps) {
  const [isOpen, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const close = useCallback(() => setOpen(false), []);
  useEffect(() => {
    if (!isOpen) return;
    window.addEventListener("popstate", close);
    return () => window.removeEventListener("popstate", close);
  }, [isOpen, close]);
  const restore = (event: Event): void => {
    if (button.current?.isConnected) return;
    event.preventDefault();
    document.querySelector("h1")?.focus();
  };
  return (
    <Dialog.Root open={isOpen} onOpenChange={setOpen}>
      {isThere && <Dialog.Trigger asChild><button ref={button} type="button" className={className} disabled={disabled}>{children}</button></Dialog.Trigger>}
      <Dialog.Portal>
        <Dialog.Overlay className="overlay" />
        <Dialog.Content className="dialog" aria-modal="true" onCloseAutoFocus={restore}>
          {isOpen && content(close)}
        </Dialog.Content>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

const initialValues = (action: Action): Record<string, string> =>
  Object.fromEntries(action.fields.map((field) => [field.name, field.initial]));

function ActionForm({ action, onDone }: { action: Action; onDone(): void }) {
  const send = useSend();
  const guard = useSigningGuard();
  const { own } = useSigner();
  const [values, setValues] = useState(() => initialValues(action));
  const [touched, setTouched] = useState<ReadonlySet<string>>(new Set());
  // The field that is at what the account has, but for the fee that was told last: both may change while it is open.
  const [maxed, setMaxed] = useState("");
  const [feeWei, setFeeWei] = useState(0n);
  const form = useRef<HTMLFormElement>(null);
  const balance = useBalance(own);
  const mostWei = balance.data === undefined ? undefined : balance.data > feeWei ? balance.data - feeWei : 0n;
  const filled = maxed && mostWei !== undefined ? { ...values, [maxed]: editableGen(mostWei) } : values;
  const { errors, effects, call } = action.check(filled);
  const fee = useFee(call);
  if (fee.state === "known" && fee.fees.depositWei !== feeWei) setFeeWei(fee.fees.depositWei);
  useReadAnew(action.views ?? []);
  const isHeld = fee.state === "asking" || fee.state === "failed";
  const depositWei = fee.state === "known" ? fee.fees.depositWei : 0n;
  const totalWei = (call?.valueWei ?? 0n) + depositWei;
  const isShort = balance.data !== undefined && balance.data < totalWei;

  const submit = (event: FormEvent): void => {
    event.preventDefault();
    setTouched(new Set(action.fields.map((field) => field.name)));
    if (!call) {
      const first = action.fields.find((field) => errors[field.name]);
      form.current?.querySelector<HTMLElement>(`[name="${first?.name ?? ""}"]`)?.focus();
      return;
    }
    if (!guard.maySign || isHeld) return;
    send(call, fee.state === "known" ? fee.fees : null);
    onDone();
  };

  return (
    <form ref={form} onSubmit={submit} noValidate>
      <Dialog.Title>{action.title}</Dialog.Title>
      <Dialog.Description className="muted">{action.intro}</Dialog.Description>
      {action.fields.map((field) => (
        <FieldInput
          key={field.name}
          field={field}
          value={filled[field.name] ?? ""}
          error={touched.has(field.name) ? (errors[field.name] ?? "") : ""}
          onChange={(value) => {
            setValues({ ...filled, [field.name]: value });
            if (maxed === field.name) setMaxed("");
          }}
          onMax={field.max === "balance" && mostWei ? () => {
            setValues(filled);
            setMaxed(field.name);
          } : undefined}
          onLeave={() => { if (filled[field.name]) setTouched((before) => new Set(before).add(field.name)); }}
        />
      ))}
      <div aria-live="polite" className="effects" data-testid="effects">
        {effects.length > 0 && (
          <>
            <h3>What happens</h3>
            <ul>{effects.map((effect) => <li key={effect}>{effect}</li>)}</ul>
          </>
        )}
      </div>
      <FeeLine fee={fee} />
      {isShort ? (
        <Banner tone="warn" title="Your account has too little">
          It has {exactGen(balance.data ?? 0n)} GEN; {exactGen(totalWei)} GEN are to be sent{depositWei > 0n && ", with the fee"}. <WhereFrom own={own} />
        </Banner>
      ) : balance.data === 0n && action.fields.some(({ max }) => max === "balance") && (
        <Banner tone="info" title="Your account has no GEN"><WhereFrom own={own} /></Banner>
      )}
      <SignerLine />
      <div className="dialog-buttons">
        <Dialog.Close asChild><button type="button" className="button quiet">Cancel</button></Dialog.Close>
        <button type="submit" className={`button ${action.isDangerous ? "danger" : "primary"}`} disabled={!guard.maySign || isHeld}>{action.submit}</button>
      </div>
    </form>
  );
}

/** Where an account gets GEN. */
function WhereFrom({ own }: { own: string }) {
  const { network, url } = usePlace();
  if (!isStudio(network)) return "GEN come from any account that has some, or from the network's faucet.";
  return <>Its network gives GEN to whoever asks: <code className="break">api-billing localnet fund 10gen {own} --url {url}</code></>;
}

/** What the network takes besides; or why that is not known, and nothing can be sent. */
function FeeLine({ fee }: { fee: Fee }) {
  if (fee.state === "failed") {
    const { error, retry } = fee;
    const again = <button type="button" className="button small" onClick={retry}>Ask again</button>;
    if (error instanceof NodeError && error.failure === "refused") {
      const { meaning, nextStep } = explain(error.refusalCode);
      return <Banner isAlert tone="stop" title="The contract would refuse this" action={again}>{`${meaning}. ${nextStep}`.trim()}</Banner>;
    }
    return (
      <Banner isAlert tone="warn" title="The network's fee is not known" action={again}>
        Nothing is sent without it. {String((error as { message?: unknown }).message ?? error)}
      </Banner>
    );
  }
  return (
    <p className="muted fee-line" aria-live="polite" data-testid="fee">
      {fee.state === "asking" && "Asking the node for the network's fee…"}
      {fee.state === "known" && <>Network fee: at most {atMostGen(fee.fees.depositWei)} GEN; what is not used comes back.</>}
    </p>
  );
}

interface FieldProps {
  field: Field;
  value: string;
  error: string;
  onChange(value: string): void;
  onLeave(): void;
  /** Where the most is not the field's to know. */
  onMax?: (() => void) | undefined;
}

export function FieldInput({ field, value, error, onChange, onLeave, onMax }: FieldProps) {
  const { known, nameOf } = useDeployment();
  const { max } = field;
  const toMax = typeof max === "bigint" && max > 0n ? () => onChange(editableGen(max)) : onMax;
  const id = useId();
  // An address is cut where the screen is narrow.
  const hint = field.kind === "address" && isAddress(value) ? <>{nameOf(value)} <span className="mono break">{value}</span></> : hintOf(field, value);
  const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
  const common = {
    id, name: field.name, value, onBlur: onLeave,
    "aria-invalid": error !== "", ...(described ? { "aria-describedby": described } : {}),
  };
  return (
    <div className={`field ${error ? "has-error" : ""}`}>
      <label htmlFor={id}>{field.label}</label>
      {field.kind === "choice" ? (
        <select {...common} onChange={(event) => onChange(event.target.value)}>
          {field.choices?.map((choice) => <option key={choice.value} value={choice.value}>{choice.label}</option>)}
        </select>
      ) : field.kind === "text" ? (
        <span className="input"><textarea {...common} rows={4} onChange={(event) => onChange(event.target.value)} /></span>
      ) : (
        <span className="input">
          <input
            {...common}
            type={field.kind === "moment" ? "datetime-local" : field.kind === "url" ? "url" : "text"}
            inputMode={field.kind === "gen" ? "decimal" : field.kind === "count" ? "numeric" : field.kind === "url" ? "url" : "text"}
            autoComplete="off" autoCapitalize="off" spellCheck={false}
            className={field.kind === "address" ? "mono" : ""}
            list={field.kind === "address" && known.length ? `${id}-known` : undefined}
            onChange={(event) => onChange(event.target.value)}
          />
          {field.kind === "gen" && <span className="suffix" aria-hidden="true">GEN</span>}
          {toMax && <button type="button" className="button small quiet" onClick={toMax}>Max<span className="visually-hidden"> for {field.label}</span></button>}
        </span>
      )}
      {field.kind === "address" && known.length > 0 && (
        <datalist id={`${id}-known`}>
          {known.map((each) => <option key={each.address} value={each.address}>{`${each.name} (${each.role})`}</option>)}
        </datalist>
      )}
      {hint && <span id={`${id}-hint`} className="hint">{hint}</span>}
      {error && <span id={`${id}-error`} className="error">{error}</span>}
    </div>
  );
}

/** What is said below a field of what stands in it. */
function hintOf(field: Field, value: string): string | undefined {
  const { kind, hint, maxLength, priceWei = 0n, priceName } = field;
  if (kind === "text" && maxLength) return [`${grouped(lengthOf(value.trim()))} of ${grouped(maxLength)} characters.`, hint].filter(Boolean).join(" ");
  const wei = kind === "gen" ? weiOf(value) : undefined;
  if (wei === undefined) return hint;
  const calls = priceWei > 0n && wei > 0n ? `; about ${grouped(wei / priceWei)} calls${priceName ? ` of ${priceName}` : ""}` : "";
  return exactWei(wei) + calls;
}

function weiOf(text: string): bigint | undefined {
  try {
    return text.trim() ? parseGen(text) : undefined;
  } catch (error) {
    if (error instanceof AmountError) return undefined;
    throw error;
  }
}
