mod authenticator;
mod principal;
