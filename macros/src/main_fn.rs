//! `#[pleach::main]`: the entry point of a program that can be the root of a tree and any actor of it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::ParseStream;
use syn::{Error, Expr, ItemFn, Path, Result, Token};

use crate::test_fn::on_smol;

#[derive(Default)]
pub(crate) struct Options {
    init: Option<Path>,
    host: Option<Expr>,
}

impl Options {
    pub(crate) fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            let key: syn::Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            match key.to_string().as_str() {
                "init" => options.init = Some(input.parse()?),
                "host" => options.host = Some(input.parse()?),
                _ => return Err(Error::new(key.span(), "expected `init = function` or `host = EXPRESSION`")),
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

pub(crate) fn expand(options: &Options, function: &ItemFn) -> Result<TokenStream> {
    let ItemFn { attrs, vis, sig, block, .. } = function;
    if sig.asyncness.is_none() {
        return Err(Error::new_spanned(sig.fn_token, "`#[pleach::main]` goes on an `async fn main`"));
    }
    if !sig.inputs.is_empty() {
        return Err(Error::new_spanned(&sig.inputs, "the root takes no arguments: read `std::env::args()`"));
    }
    let ident = &sig.ident;
    let output = &sig.output;
    let init = options.init.as_ref().map_or_else(|| quote!(|| {}), |path| quote!(#path));
    let host = on_smol(options.host.as_ref());
    Ok(quote! {
        #(#attrs)*
        #vis fn #ident() -> ::std::process::ExitCode {
            async fn root() #output #block
            ::pleach::__private::main(#init, || #host, root)
        }
    })
}
