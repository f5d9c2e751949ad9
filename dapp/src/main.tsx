import { QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { AppFrame } from "./app";
import { PlaceProvider } from "./state/place";
import { queryClient } from "./state/queries";
import "./styles.css";

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queryClient()}>
        <PlaceProvider>
          <AppFrame />
        </PlaceProvider>
      </QueryClientProvider>
    </StrictMode>,
  );
}
