import { QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { AppFrame } from "./app";
import { PlaceProvider } from "./state/place";
import { queryClient } from "./state/queries";
import { shareAnswers } from "./state/sharing";
import "./styles.css";

const root = document.getElementById("root");
const client = queryClient();
shareAnswers(client);
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <PlaceProvider>
          <AppFrame />
        </PlaceProvider>
      </QueryClientProvider>
    </StrictMode>,
  );
}
