#compdef mcml

_mcml_completion() {
  eval $(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _MCML_COMPLETE=complete_zsh mcml)
}

compdef _mcml_completion mcml
